//! Tests that deceptive characters are found and shown, and that ordinary text stays as it is.

use proptest::prelude::*;

use super::*;

#[test]
fn ordinary_text_is_not_flagged() {
    for text in [
        "plain\n\ttext",
        "наш",
        "日本語",
        "é e\u{301}",
        "👩\u{200d}👧",
        "👩🏽\u{200d}🚀",
        "🏳\u{fe0f}\u{200d}🌈",
        "❤\u{fe0f}\u{200d}🔥",
        "❤\u{fe0f}",
        "☎\u{fe0e} 1\u{fe0f}\u{20e3}",
        "می\u{200c}خواهم",
        "क\u{94d}\u{200d}ष",
        "ᠡ\u{180b}",
        "שלום",
    ] {
        assert!(!contained_in(text), "{text:?}");
        assert_eq!(escaped(text), text);
    }
}

#[test]
fn invisible_characters_are_found_at_any_position() {
    for c in "\u{1b}\u{9b}\u{7f}\0\u{200b}\u{200e}\u{202e}\u{2066}\u{2069}\u{feff}\u{ad}\u{e0041}\u{e0100}".chars() {
        assert!(contained_in(&format!("a{c}b")), "{c:?}");
    }
    assert!(contained_in("ad\u{200d}min"));
    assert!(contained_in_json(br#"{"a":[{"b":"x\u200by"}]}"#));
    assert!(contained_in_json(br#"{"a":{"x\udb40\udc41":1}}"#));
    assert!(!contained_in_json(br#"{"a":["b",1,null]}"#));
}

#[test]
fn characters_that_render_as_nothing_are_found_in_names_and_texts() {
    for c in "\u{1d159}\u{2800}\u{3164}\u{ffa0}\u{115f}\u{1160}\u{17b4}\u{2060}\u{fffc}\u{16fe4}\u{13430}\u{13441}\u{1d173}".chars() {
        let text = format!("re{c}ad");
        assert!(contained_in(&text) && contained_in_name(&text), "{c:?}");
        assert_eq!(escaped(&text), format!("re{}ad", c.escape_unicode()));
    }
    for shown in ["\u{1d158}", "\u{2801}", "\u{3163}", "\u{1d15a}"] {
        assert!(!contained_in(shown), "{shown}");
    }
}

#[test]
fn noncharacters_and_private_use_characters_are_found_in_names_and_texts_and_shown_as_escapes() {
    let of_planes = (0..=16).flat_map(|plane| [(plane << 16) | 0xfffe, (plane << 16) | 0xffff]);
    let private = [
        0xe000, 0xf123, 0xf8ff, 0xf_0000, 0xf_fffd, 0x10_0000, 0x10_fffd,
    ];
    for code in (0xfdd0..=0xfdef).chain(of_planes).chain(private) {
        let c = char::from_u32(code).unwrap();
        let text = format!("re{c}ad");
        assert!(contained_in(&text) && contained_in_name(&text), "{code:x}");
        assert_eq!(escaped(&text), format!("re{}ad", c.escape_unicode()));
        let json = serde_json::json!({ "a": [text] }).to_string();
        assert!(contained_in_json(json.as_bytes()), "{code:x}");
    }
    for joiner in ['\u{200c}', '\u{200d}', '\u{fe0f}'] {
        assert!(contained_in(&format!("\u{fdd0}{joiner}x")), "{joiner:?}");
    }
    for shown in [
        "\u{fdcf}",
        "\u{fdf0}",
        "\u{fffd}",
        "\u{d7ff}",
        "\u{f900}",
        "\u{1fffd}",
    ] {
        assert!(!contained_in(shown), "{shown:?}");
    }
}

#[test]
fn runs_of_joiners_are_flagged_after_any_character() {
    for base in ["é", "я", "日", "م", "क", "👩", "❤\u{fe0f}", "a", ""] {
        for run in [
            "\u{200c}\u{200c}",
            "\u{200d}\u{200d}",
            "\u{200c}\u{200d}\u{200c}\u{200c}",
            "\u{200d}\u{fe0f}",
        ] {
            assert!(contained_in(&format!("{base}{run}x")), "{base:?} {run:?}");
        }
    }
    for single in ["é\u{200d}x", "я\u{200c}я", "日\u{200d}本", "👩\u{200c}👧"] {
        assert!(contained_in(single), "{single:?}");
    }
}

#[test]
fn variation_selectors_are_flagged_except_in_emoji_presentation_sequences() {
    for selector in ('\u{fe00}'..='\u{fe0f}').chain('\u{e0100}'..='\u{e01ef}') {
        for base in ["a", "é", "日", "1", ""] {
            assert!(
                contained_in(&format!("{base}{selector}")),
                "{base}{selector:?}"
            );
        }
    }
    assert!(contained_in("❤\u{fe0f}\u{fe0f}"));
    assert!(contained_in("❤\u{fe0e}\u{fe0f}"));
    assert!(contained_in("❤\u{fe00}"));
    assert_eq!(escaped("x\u{fe0f}\u{200d}👧"), "x\\u{fe0f}\\u{200d}👧");
}

/// The tables of UTS #39 remove default-ignorable characters from skeletons.
#[test]
fn every_default_ignorable_character_is_deceptive() {
    let ignorable =
        ('\0'..=char::MAX).filter(|c| confusable::skeleton(c.encode_utf8(&mut [0; 4])).is_empty());
    let missed: Vec<char> = ignorable.filter(|c| !is_deceptive(*c)).collect();
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn deceptive_characters_are_shown_as_escapes() {
    assert_eq!(
        escaped("a\u{202e}b\u{e0041}\u{1b}[1m"),
        "a\\u{202e}b\\u{e0041}\\u{1b}[1m"
    );
    assert_eq!(escaped("م\u{200c}\u{200c}م"), "م\\u{200c}\\u{200c}م");
}

#[test]
fn quoted_text_has_no_line_of_its_own() {
    assert_eq!(quoted("one"), "one");
    for end in ["\n", "\r\n", "\r"] {
        assert_eq!(
            quoted(&format!("one{end}{end}## other__*{end}two")),
            "one\n> \n> ## other__*\n> two"
        );
    }
    // Other characters that end a line are shown.
    for end in ["\u{b}", "\u{c}", "\u{85}", "\u{2028}", "\u{2029}"] {
        let text = quoted(&format!("one{end}## other__*"));
        assert!(text.starts_with("one\\u{"), "{text}");
    }
}

#[test]
fn displayed_texts_are_escaped_and_data_is_kept() {
    let given = r#"{"name":"t","title":"a\u202e","inputSchema":{"description":"b\u200b","properties":
        {"default":{"title":"c\u2066","default":"\u200b","enum":["\u200b"]},"title":{"type":"string"}}},
        "_meta":{"title":"\u200b"},"x":1.50}"#;
    let shown = escaped_display_members(given.as_bytes(), &[]);
    let value: serde_json::Value = serde_json::from_slice(&shown).unwrap();
    assert_eq!(value["title"], "a\\u{202e}");
    assert_eq!(value["inputSchema"]["description"], "b\\u{200b}");
    let property = &value["inputSchema"]["properties"]["default"];
    assert_eq!(property["title"], "c\\u{2066}");
    assert_eq!(property["default"], "\u{200b}");
    assert_eq!(property["enum"][0], "\u{200b}");
    assert_eq!(value["_meta"]["title"], "\u{200b}");
    assert!(std::str::from_utf8(&shown).unwrap().contains("1.50"));
    let clean = br#"{"title" : "a", "x":"b"}"#;
    assert!(matches!(escaped_display_members(clean, &[]), Cow::Borrowed(same) if same == clean));
    let named =
        escaped_display_members(br#"{"name":"a\u200b","enumNames":["b\u200b"]}"#, &["name"]);
    assert_eq!(
        &*named,
        br#"{"name":"a\\u{200b}","enumNames":["b\\u{200b}"]}"#
    );
}

#[test]
fn names_that_render_alike_have_one_skeleton() {
    for (one, other) in [
        ("paypal", "p\u{430}yp\u{430}l"),
        ("tool1", "tooll"),
        ("getO", "get0"),
        ("modem", "modern"),
        ("read", "re\u{200b}ad"),
    ] {
        assert_eq!(confusable::skeleton(one), confusable::skeleton(other));
    }
    assert_ne!(confusable::skeleton("read"), confusable::skeleton("write"));
}

#[test]
fn names_that_are_taken_for_one_another_have_a_key_in_common() {
    let share = |one: &str, other: &str| {
        let keys = confusable::look_alike_keys(one);
        confusable::look_alike_keys(other)
            .iter()
            .any(|key| keys.contains(key))
    };
    for (one, other) in [
        ("debug", "DEBUG"),
        ("debug", "d\u{435}bug"),
        ("debug", "\u{ff44}\u{ff45}\u{ff42}\u{ff55}\u{ff47}"),
        ("debug", "\u{ff24}\u{ff25}\u{ff22}\u{ff35}\u{ff27}"),
        ("debug", "de\u{200b}bug"),
        ("debug", "de\u{1d159}bug\u{3164}"),
        ("debug", "\u{1d41d}ebug"),
        ("id", "\u{406}D"),
        ("Id", "ld"),
        ("Id", "\u{a4f2}d"),
        ("region", "\u{a4e3}egion"),
        ("order", "0rder"),
        ("tel", "\u{2121}"),
        ("stra\u{df}e", "STRASSE"),
    ] {
        assert!(share(one, other), "{one} {other}");
    }
    for (one, other) in [
        ("debug", "debugs"),
        ("debug", "de_bug"),
        ("pin", "pln"),
        ("a", "b"),
    ] {
        assert!(!share(one, other), "{one} {other}");
    }
}

/// Pairs of names, each with a form that a reader cannot tell apart, and none that differs by a form only.
const NORMAL_FORMS: [(&str, &str); 12] = [
    // Composed and decomposed (NFC, NFD).
    ("caf\u{e9}", "cafe\u{301}"),
    ("gr\u{f6}\u{df}e", "gro\u{308}\u{df}e"),
    ("\u{ac00}", "\u{1100}\u{1161}"),
    // Marks in another order.
    ("q\u{307}\u{323}", "q\u{323}\u{307}"),
    // Singletons: ohm and omega, kelvin and k, angstrom and a with a ring.
    ("\u{2126}", "\u{3a9}"),
    ("\u{212a}ey", "Key"),
    ("\u{212b}", "\u{c5}"),
    // Compatibility forms (NFKC): full width, ligature, circled, superscript, mathematical.
    ("\u{ff52}\u{ff45}\u{ff41}\u{ff44}", "read"),
    ("\u{fb01}nd", "find"),
    ("\u{2460}\u{2461}", "12"),
    ("x\u{b2}", "x2"),
    ("\u{1d41a}dd", "add"),
];

#[test]
fn mc_03_names_with_the_same_normal_form_have_one_skeleton() {
    for (one, other) in NORMAL_FORMS {
        let (one, other) = (confusable::skeleton(one), confusable::skeleton(other));
        assert_eq!(one, other);
    }
    for (one, other) in [("caf\u{e9}", "cafe"), ("x\u{b2}", "x3"), ("\u{f6}l", "ol")] {
        assert_ne!(confusable::skeleton(one), confusable::skeleton(other));
    }
}

proptest! {
    #[test]
    fn the_skeleton_of_ascii_equals_that_of_the_standard(name in "[ -~]{0,24}") {
        let standard: String = unicode_security::skeleton(&name).collect();
        prop_assert_eq!(confusable::skeleton(&name), standard);
    }

    #[test]
    fn escaped_and_quoted_text_contains_nothing_deceptive(text in "[\\PC\u{200b}-\u{202e}\u{fe0f}\u{1b}👩é\r\n]{0,24}") {
        prop_assert!(!contained_in(&escaped(&text)));
        let quoted = quoted(&text);
        prop_assert!(!contained_in(&quoted));
        prop_assert!(quoted.split(['\n', '\r']).skip(1).all(|line| line.starts_with("> ")));
    }
}

#[test]
fn no_other_content_keeps_a_text_from_being_searched() {
    let deep = format!("{}\"\u{202e}\"{}", "[".repeat(500), "]".repeat(500));
    for json in [
        r#"{"n":1e999,"title":"\u202e"}"#,
        r#"{"title":"a","title":"\u202e"}"#,
        r#"{"a\\":"\"","b":"\u202e"}"#,
        r#"{"\u202e":1}"#,
        r#"{"title":"\ud800"}"#,
        &deep,
    ] {
        assert!(contained_in_json(json.as_bytes()), "{json}");
        let shown = escaped_display_members(json.as_bytes(), &[]);
        assert!(shown.len() >= 2, "{json}");
    }
    for json in ["{}", r#"{"n":1e999,"title":"a\\\"b"}"#, "[1,\"x\"]"] {
        assert!(!contained_in_json(json.as_bytes()), "{json}");
    }
}

#[test]
fn an_object_is_displayable_if_every_text_in_it_can_be_escaped() {
    let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    for json in ["{}", "{ }", r#"{"a":[{"b":"c"},1e999,null]}"#, &nested(30)] {
        assert!(is_displayable(json.as_bytes()), "{json}");
    }
    for json in [r#"{"a":{"b":1,"b":2}}"#, r#"{"a":["\udc00"]}"#, &nested(40)] {
        assert!(!is_displayable(json.as_bytes()), "{json}");
    }
}
