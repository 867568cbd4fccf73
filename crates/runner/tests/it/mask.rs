//! Secrets are found in every form in which they are likely to be written down.

use keywright_runner::{MASK, Masker};

/// Quotes, markup, an escape, a space, a percent sign, and letters outside ASCII.
const NASTY: &str = "Pä\"ss'wé & <ord>\\ 100%";

fn masker(secrets: &[&str]) -> Masker {
    Masker::new(&secrets.iter().map(|secret| (*secret).to_owned()).collect::<Vec<_>>())
}

#[test]
fn a_nasty_password_is_found_in_every_form() {
    let masker = masker(&[NASTY]);
    let hex: String = NASTY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let forms: &[(&str, &[u8])] = &[
        ("raw", NASTY.as_bytes()),
        ("latin-1", b"P\xe4\"ss'w\xe9 & <ord>\\ 100%"),
        ("latin-1 read as UTF-8", "P\u{fffd}\"ss'w\u{fffd} & <ord>\\ 100%".as_bytes()),
        ("UTF-8 read as windows-1252", "PÃ¤\"ss'wÃ© & <ord>\\ 100%".as_bytes()),
        ("JSON", br#"P\u00e4\"ss'w\u00e9 & <ord>\\ 100%"#),
        ("JSON, capitals", br#"P\u00E4\"ss'w\u00E9 & <ord>\\ 100%"#),
        ("JSON, letters kept", r#"Pä\"ss'wé & <ord>\\ 100%"#.as_bytes()),
        ("JSON safe in HTML", r#"Pä\"ss\u0027wé \u0026 \u003cord\u003e\\ 100%"#.as_bytes()),
        ("JSON in JSON", r#"Pä\\\"ss'wé & <ord>\\\\ 100%"#.as_bytes()),
        ("form, UTF-8", b"P%C3%A4%22ss%27w%C3%A9+%26+%3Cord%3E%5C+100%25"),
        ("form, latin-1", b"P%E4%22ss%27w%E9+%26+%3Cord%3E%5C+100%25"),
        ("form, latin-1, small", b"P%e4%22ss%27w%e9+%26+%3cord%3e%5c+100%25"),
        ("encodeURIComponent", b"P%C3%A4%22ss'w%C3%A9%20%26%20%3Cord%3E%5C%20100%25"),
        ("address", b"P%C3%A4%22ss%27w%C3%A9%20&%20%3Cord%3E\\%20100%"),
        ("HTML text", "Pä\"ss'wé &amp; &lt;ord&gt;\\ 100%".as_bytes()),
        ("HTML attribute", "Pä&quot;ss&#39;wé &amp; &lt;ord&gt;\\ 100%".as_bytes()),
        ("HTML, decimal", b"P&#228;&quot;ss&#x27;w&#233; &amp; &lt;ord&gt;\\ 100%"),
        ("HTML, hex", b"P&#xe4;\"ss'w&#xe9; &amp; &lt;ord&gt;\\ 100%"),
        ("HTML in JSON", r#"Pä&quot;ss'wé &amp; &lt;ord&gt;\\ 100%"#.as_bytes()),
        ("single quotes", r#"Pä"ss\'wé & <ord>\\ 100%"#.as_bytes()),
        ("hex", hex.as_bytes()),
        ("Python bytes", b"P\\xc3\\xa4\"ss'w\\xc3\\xa9 & <ord>\\ 100%"),
    ];
    for (name, form) in forms {
        let text = [b"before ", *form, b" after"].concat();
        assert!(masker.finds(&text), "{name}");
        let masked = masker.mask_bytes(&text);
        assert_eq!(masked.as_ref(), b"before *** after", "{name}");
        if let Ok(text) = std::str::from_utf8(&text) {
            assert_eq!(masker.mask(text), "before *** after", "{name}");
        }
    }
}

#[test]
fn base64_is_found_at_all_three_offsets_in_both_alphabets() {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let masker = masker(&[NASTY]);
    for user in ["a:", "ab:", "abc:", ""] {
        let pair = format!("{user}{NASTY}");
        let latin: Vec<u8> = pair.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        for bytes in [pair.as_bytes(), &latin] {
            for encoded in [STANDARD.encode(bytes), URL_SAFE_NO_PAD.encode(bytes)] {
                let header = format!("authorization: Basic {encoded}");
                assert!(masker.finds(header.as_bytes()), "{header}");
                let masked = masker.mask(&header);
                assert!(masked.contains(MASK) && !masker.finds(masked.as_bytes()), "{masked}");
            }
        }
    }
}

#[test]
fn short_texts_are_left_alone() {
    let masker = masker(&["en", "12345", ""]);
    assert_eq!(masker.mask("seen 12345 times"), "seen 12345 times");
    assert!(!masker.finds(b"en 12345"));
}

#[test]
fn overlapping_secrets_leave_no_remainder() {
    let masker = masker(&["alpha-beta", "beta-gamma", "beta-gamma-delta"]);
    assert_eq!(masker.mask("<alpha-beta-gamma-delta>"), "<***>");
}

#[test]
fn a_long_token_is_found_when_it_was_cut_off() {
    let token: String = (0..2_000_u32).map(|at| char::from(b'a' + u8::try_from((at * at + at / 7) % 26).unwrap())).collect();
    let masker = masker(&[&token]);
    assert_eq!(masker.mask(&format!("token={token};")), "token=***;");
    assert!(masker.finds(&token.as_bytes()[500..700]));
}

#[test]
fn the_tokens_inside_a_stored_document_are_found_alone() {
    let padding = "x ".repeat(200);
    let document = format!(r#"{{"theme":"dark-blue","padding":"{padding}","auth":{{"accessToken":"tok-0123456789abcdef"}}}}"#);
    let masker = masker(&[&document]);
    assert_eq!(masker.mask("Bearer tok-0123456789abcdef"), "Bearer ***");
    assert_eq!(masker.mask("theme dark-blue"), "theme dark-blue");
}

#[test]
fn each_line_of_a_key_is_masked_alone() {
    let masker = masker(&["-----BEGIN KEY-----\nMIIBVgIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----"]);
    assert_eq!(masker.mask("  MIIBVgIBADANBgkq"), "  ***");
}

#[test]
fn a_match_inside_a_character_takes_the_whole_character() {
    // In windows-1252 "secretâ" ends in 0xE2, which is also the first byte of the euro sign in UTF-8.
    let masker = masker(&["secretâ"]);
    assert_eq!(masker.mask("my secret€!"), "my ***!");
}

#[test]
fn too_many_secrets_are_never_vouched_for() {
    let secrets: Vec<String> = (0..40_000_u32).map(|at| format!("{at:x}-{}", format!("{:x}", at ^ 0xabcd).repeat(30))).collect();
    let masker = Masker::new(&secrets);
    assert!(masker.finds(b"nothing of them"));
    assert_eq!(masker.mask("nothing of them"), "nothing of them");
}

#[test]
fn json_is_masked_in_names_and_values_and_stays_json() {
    let mut value = serde_json::json!({"a": [NASTY, 1, null], "secret-name": {"x": true}, "number": 12_345_678});
    masker(&[NASTY, "secret-name", "12345678"]).mask_json(&mut value);
    assert_eq!(value, serde_json::json!({"a": ["***", 1, null], "***": {"x": true}, "number": "***"}));
}

#[test]
fn a_masker_prints_no_secret() {
    assert!(!format!("{:?}", masker(&["hunter2-hunter2"])).contains("hunter2"));
}
