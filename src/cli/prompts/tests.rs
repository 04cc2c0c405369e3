//! Tests of the output of prompts.

use super::*;

#[test]
fn arguments_that_may_be_left_out_stand_in_brackets() {
    let prompt = json!({
        "name": "git__review", "description": "Reviews.",
        "arguments": [{ "name": "branch", "required": true }, { "name": "depth" }],
    });
    assert_eq!(row(&prompt), ["git__review", "branch [depth]", "Reviews."]);
}

#[test]
fn a_message_says_who_speaks_and_an_image_is_named_and_not_dumped() {
    let said = json!({ "role": "user", "content": { "type": "text", "text": "hi" } });
    assert_eq!(line(&said), "user: hi");
    let image =
        json!({ "role": "assistant", "content": { "type": "image", "data": "A".repeat(4000) } });
    assert!(line(&image).contains("3000 bytes"));
}
