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
