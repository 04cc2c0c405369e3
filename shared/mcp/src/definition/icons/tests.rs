//! Icons that clients must not load are left out, and others stay as they are.

use serde_json::{Value, json};

use super::*;
use crate::definition::{DefinitionCollector, DefinitionKind, DefinitionLimits};

/// Icons of a definition of this kind after it is read, and the number of definitions that are named.
fn icons(kind: DefinitionKind, icons: &Value) -> (Value, usize) {
    let definition = match kind {
        DefinitionKind::Tool => json!({"name": "t", "inputSchema": {"type": "object"}}),
        DefinitionKind::Prompt => json!({"name": "p"}),
        DefinitionKind::Resource => json!({"name": "r", "uri": "memo:r"}),
        DefinitionKind::Template => json!({"name": "r", "uriTemplate": "memo:{r}"}),
    };
    let mut definition = definition;
    definition["icons"] = icons.clone();
    let mut collector = DefinitionCollector::new(kind, DefinitionLimits::default());
    let page = json!({ kind.list(): [definition] }).to_string();
    collector.add_page(page.as_bytes(), 10).unwrap();
    let list = collector.finish();
    let read: Value = serde_json::from_str(&list.accepted[0].json).unwrap();
    (read["icons"].clone(), list.with_unsafe_icons.len())
}

#[test]
fn mc_12_icons_that_clients_must_not_load_are_left_out_and_named() {
    let https = json!({"src": "https://icons.example/a.svg?x=1", "sizes": ["any"]});
    let long = format!("https://icons.example/{}", "x".repeat(MAX_URL));
    let giant = format!("data:image/png;base64,{}", "A".repeat(MAX_DATA_URL));
    for bad in [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "java\tscript:alert(1)",
        " javascript:alert(1)",
        "vbscript:x",
        "file:///etc/passwd",
        "http://icons.example/a.png",
        "http://10.0.0.1/a.png",
        "http://169.254.169.254/latest",
        "ftp://icons.example/a.png",
        "blob:https://icons.example/a",
        "//icons.example/a.png",
        "/a.png",
        "a.png",
        "",
        ":",
        "https:icons.example/a.png",
        "https:///",
        "https://",
        "https://me@icons.example/a.png",
        "https://icons.example/a b.png",
        "https://icons.example/\u{202e}gnp.a",
        "\u{1}https://icons.example/",
        "data:",
        "data:,x",
        "data:text/html,<script>alert(1)</script>",
        "data:text/html;base64,AA==",
        "data:image/svg+xml;base64,AA==",
        "data:image/png",
        "data:application/xhtml+xml,image/png",
        "data: image/png;base64,AA==",
        &long,
        &giant,
    ] {
        let bad = json!({"src": bad, "mimeType": "image/png"});
        for kind in DefinitionKind::ALL {
            let mixed = json!([bad, https, bad]);
            assert_eq!(icons(kind, &mixed), (json!([https]), 1), "{bad}");
            assert_eq!(icons(kind, &json!([bad])), (Value::Null, 1), "{bad}");
        }
    }
}

#[test]
fn icons_that_clients_may_load_stay_as_they_are() {
    for good in [
        "https://icons.example/a.png",
        "HTTPS://icons.example:8443/a.svg#x",
        "https://icons.corp.internal/%20a.png",
        "data:image/png;base64,iVBORw0KGgo=",
        "DATA:Image/JPEG;base64,/9j/",
        "data:image/webp;base64,AA==",
        "data:image/gif;base64,AA==",
    ] {
        let list = json!([{"src": good, "theme": "dark", "vendor": 1}]);
        for kind in DefinitionKind::ALL {
            assert_eq!(icons(kind, &list), (list.clone(), 0), "{good}");
        }
    }
    assert_eq!(icons(DefinitionKind::Tool, &json!([])), (json!([]), 0));
}
