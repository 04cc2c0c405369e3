//! Tests of the output of prompts.

use super::*;

#[test]
fn optional_arguments_are_in_brackets() {
    let prompt = json!({
        "name": "git__review", "description": "Reviews.",
        "arguments": [{ "name": "branch", "required": true }, { "name": "depth" }],
    });
    assert_eq!(row(&prompt), ["git__review", "branch [depth]", "Reviews."]);
}

#[test]
fn a_message_names_its_role_and_an_image_is_summarized() {
    let said = json!({ "role": "user", "content": { "type": "text", "text": "hi" } });
    assert_eq!(line(&said), "user: hi");
    let image =
        json!({ "role": "assistant", "content": { "type": "image", "data": "A".repeat(4000) } });
    assert!(line(&image).contains("3000 bytes"));
}

#[test]
fn a_refused_prompt_keeps_the_advice_that_fits_its_cause() {
    let of = |kind| with_advice(CliError::new(kind, "it came to nothing")).next_step;
    assert!(
        of(CliErrorKind::CallFailed)
            .unwrap()
            .contains("toolgate doctor")
    );
    assert!(
        of(CliErrorKind::NotFound)
            .unwrap()
            .contains("toolgate prompts list")
    );
    assert_eq!(of(CliErrorKind::Interrupted), None);
    let refused = CliError::new(CliErrorKind::Denied, "no token").with_next_step("give a token");
    assert_eq!(with_advice(refused.clone()), refused);
}
