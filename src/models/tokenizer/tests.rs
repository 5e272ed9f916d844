#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

/// One token a word, each with the space before it, as SentencePiece cuts; then the end token.
fn by_words(text: &str) -> Encoding {
    let mut offsets: Vec<(usize, usize)> = Vec::new();
    for (i, c) in text.char_indices() {
        match offsets.last_mut() {
            Some(last) if c != ' ' => last.1 = i + c.len_utf8(),
            _ => offsets.push((i, i + c.len_utf8())),
        }
    }
    offsets.push((text.len(), text.len()));
    Encoding { ids: vec![7; offsets.len()], offsets, text: text.into(), kept: text.len() }
}

fn indices(text: &str, phrase: &str, which: WordMatch) -> Result<Vec<usize>> {
    by_words(text).token_indices(phrase, which)
}

#[test]
fn cleans_as_wan() {
    for (prompt, expected) in [
        ("  a \t\n cat\u{a0}runs \u{1f}. ", "a cat runs ."),
        ("A Cat", "A Cat"),
        ("cat &amp; dog", "cat & dog"),
        // Twice: a reference that was escaped itself.
        ("cat &amp;amp; dog &amp;lt;3", "cat & dog <3"),
        ("&#39;hi&#x27; &#8217;", "'hi' '"),
        // As ftfy leaves characters.
        ("\u{feff}a cat\u{feff}\u{0}\u{7f}", "a cat"),
        ("the cat\u{2019}s \u{201c}hat\u{201d} \u{2014}", "the cat's \"hat\" \u{2014}"),
        ("cafe\u{301} \u{1112}\u{1161}\u{11ab}", "caf\u{e9} \u{d55c}"),
        ("\u{ff32}\u{ff25}\u{ff24}\u{3000}\u{ff76}\u{ff9e} \u{fb01}re \u{133}s", "RED \u{30ac} fire ijs"),
        ("&#150; &#0; &#xD800; &#99999999999; &#1;.", "\u{2013} \u{fffd} \u{fffd} \u{fffd} ."),
        ("caf&eacute; &copy 2020 &notit; &hellip;&apos;", "caf\u{e9} \u{a9} 2020 \u{ac}it; \u{2026}'"),
        // Not references.
        ("R&B, a & b &; &# &#; &#x; &unknown; &hellip", "R&B, a & b &; &# &#; &#x; &unknown; &hellip"),
        ("&", "&"),
        ("&é &amp", "&é &"),
        ("", ""),
    ] {
        assert_eq!(clean_prompt(prompt), expected, "{prompt}");
    }
    assert_eq!(clean_prompt(&format!("&{};", "a".repeat(1000))).len(), 1002);
}

#[test]
fn matches_whole_words_in_any_case() {
    let text = "The carpet, a Car and the car's CAR-wash.";
    assert_eq!(indices(text, "car", WordMatch::All).unwrap(), [3, 6, 7]);
    assert_eq!(indices(text, " CAR ", WordMatch::Nth(1)).unwrap(), [6]);
    assert_eq!(indices(text, "a  car", WordMatch::All).unwrap(), [2, 3]);
    assert_eq!(indices(text, "the", WordMatch::All).unwrap(), [0, 5]);
    let text = indices(text, "car", WordMatch::Nth(3)).unwrap_err().to_string();
    assert!(text.contains("the prompt has 3"), "{text}");
}

#[test]
fn released_rule_is_an_exact_substring() {
    let text = "The carpet, a Car and the car's CAR-wash.";
    assert_eq!(indices(text, "car", WordMatch::Released).unwrap(), [1, 6]);
    // The space before a word belongs to its token, so a phrase that ends with one takes the next.
    assert_eq!(indices(text, "a ", WordMatch::Released).unwrap(), [2, 3]);
    assert!(indices(text, "", WordMatch::Released).is_err());
}

#[test]
fn other_scripts() {
    assert_eq!(indices("一只小狗 在跑", "狗", WordMatch::All).unwrap(), [0]);
    assert_eq!(indices("Ein BÄR läuft", "bär", WordMatch::All).unwrap(), [1]);
    assert!(indices("Bärin", "bär", WordMatch::All).is_err());
    // The capital folds to two characters; neither of them alone is a word.
    assert_eq!(indices("\u{130}stanbul sokak", "\u{130}STANBUL", WordMatch::All).unwrap(), [0]);
    assert!(indices("a\u{130}", "a\u{69}", WordMatch::All).is_err());
}

#[test]
fn spelling_does_not_decide_whether_a_word_is_found() {
    for (text, phrase, found) in [
        // Composed and decomposed, either way, and two orders of the same marks.
        ("a caf\u{e9} here", "cafe\u{301}", [1]),
        ("a cafe\u{301} here", "CAF\u{c9}", [1]),
        ("a \u{1ecd}\u{301} x", "o\u{301}\u{323}", [1]),
        ("\u{1100}\u{1161} b", "\u{ac00}", [0]),
        // Case that one character does not show.
        ("die Stra\u{df}e", "STRASSE", [1]),
        ("\u{3bf} \u{39f}\u{3a3}", "\u{3bf}\u{3c2}", [1]),
        // Full-width letters, ligatures, half-width kana.
        ("a \u{ff32}\u{ff25}\u{ff24} square", "red", [1]),
        ("a red square", "\u{ff52}\u{ff45}\u{ff44}", [1]),
        ("a \u{fb01}re", "fire", [1]),
        ("x \u{30ac}", "\u{ff76}\u{ff9e}", [1]),
        // What is never seen.
        ("\u{feff}red square", "red", [0]),
        ("a red square", "\u{feff}red", [1]),
        ("a sq\u{ad}uare", "square", [1]),
        ("a \u{2764}\u{fe0f} b", "\u{2764}", [1]),
        // Quotes, hyphens, spaces.
        ("the dog\u{2019}s ball", "dog's", [1]),
        ("the dog's ball", "dog\u{2019}s", [1]),
        ("a T\u{2011}shirt", "t-shirt", [1]),
        ("\u{201c}red\u{201d} b", "\"red\"", [0]),
        // Punctuation beside a word, and a word at either end.
        ("(red), b", "red", [0]),
        ("a b-red!", "red", [1]),
    ] {
        assert_eq!(indices(text, phrase, WordMatch::All).unwrap(), found, "{phrase} in {text}");
    }
    assert_eq!(indices("a red\u{a0}\u{3000}square", "red square", WordMatch::All).unwrap(), [1]);
    for (text, phrase) in [
        ("red squares", "square"),
        ("an unsquare", "square"),
        ("caf\u{e9}", "cafe"),
        ("cafe\u{301}", "cafe"),
        ("cafe\u{301}s", "caf\u{e9}"),
        ("\u{30ac}", "\u{30ab}"),
        ("\u{30ab}\u{3099}", "\u{30ab}"),
        ("\u{ac01}", "\u{ac00}"),
        ("\u{fb01}re", "f"),
        ("\u{e19}\u{e49}\u{e33}", "\u{e19}"),
    ] {
        let refused = indices(text, phrase, WordMatch::All).unwrap_err().to_string();
        assert!(refused.contains("does not contain"), "{phrase} in {text}: {refused}");
    }
    // Chinese and Japanese put no spaces: any place may be a word's edge.
    let text = "\u{4e00}\u{53ea}\u{7ea2}\u{8272}\u{7684}\u{5c0f}\u{72d7}\u{5728}\u{8dd1}\u{3002}";
    for phrase in ["\u{5c0f}\u{72d7}", "\u{4e00}\u{53ea}", "\u{8dd1}", "\u{8dd1}\u{3002}"] {
        assert_eq!(indices(text, phrase, WordMatch::All).unwrap(), [0], "{phrase}");
    }
    assert!(indices(text, "\u{5927}", WordMatch::All).is_err());
    assert!(indices("a", "\u{200b}", WordMatch::All).is_err());
}

#[test]
fn a_missing_word_lists_the_words() {
    let text = indices("A red cat, a dog.", "bird", WordMatch::All).unwrap_err().to_string();
    assert_eq!(text, "phrase \"bird\": the prompt does not contain it; it has: A, red, cat, a, dog");
    assert!(indices("", "cat", WordMatch::All).unwrap_err().to_string().contains("no words"));
    assert!(indices("a cat", "  ", WordMatch::All).is_err());
    let long: String = (0..100).map(|i| format!("w{i} ")).collect();
    assert!(indices(&long, "cat", WordMatch::All).unwrap_err().to_string().ends_with("w39, …"));
}

#[test]
fn a_word_past_the_cut_is_named() {
    let mut cut = by_words("a red cat, a red dog");
    assert_eq!(cut.cut_off(), None);
    cut.offsets.truncate(4);
    cut.ids.truncate(4);
    cut.kept = "a red cat, a".len();
    assert_eq!(cut.cut_off(), Some("red dog"));
    let refused = |phrase: &str, which| cut.token_indices(phrase, which).unwrap_err().to_string();
    // Of several occurrences those that are drawn.
    assert_eq!(cut.token_indices("red", WordMatch::All).unwrap(), [1]);
    assert!(refused("red", WordMatch::Nth(1)).contains("lies behind the 4 tokens"));
    assert!(
        refused("dog", WordMatch::All)
            .contains("lies behind the 4 tokens that the prompt was cut to: shorten")
    );
    assert!(refused("a red dog", WordMatch::All).contains("lies partly behind the 4 tokens"));
    // Cut within a word.
    cut.kept = "a red c".len();
    assert!(cut.token_indices("cat", WordMatch::All).unwrap_err().to_string().contains("partly"));
    assert_eq!(cut.cut_off(), Some("at, a red dog"));
    (cut.text, cut.kept) = ("a \u{e9}".into(), 3);
    assert_eq!(cut.cut_off(), None);
}

#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod hugging_face {
    use super::*;

    /// A SentencePiece-like tokenizer as T5's, with or without the end token in its post-processor.
    fn json(appends_eos: bool) -> Vec<u8> {
        let words = ["▁a", "▁red", "▁cat", "▁pup", "py", "▁&", "."];
        let mut vocab = vec![r#"["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0], ["▁", -3.0]"#.to_owned()];
        vocab.extend(words.map(|w| format!(r#"["{w}", -4.0]"#)));
        vocab.extend(('a'..='z').map(|c| format!(r#"["{c}", -9.0]"#)));
        let post = if appends_eos {
            r#"{"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
                "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}}"#
        } else {
            "null"
        };
        let tokenizer = format!(
            r#"{{"version": "1.0", "truncation": {{"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}},
                "padding": null, "added_tokens": [], "normalizer": null,
                "pre_tokenizer": {{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}},
                "post_processor": {post}, "decoder": null,
                "model": {{"type": "Unigram", "unk_id": 2, "vocab": [{}], "byte_fallback": false}}}}"#,
            vocab.join(", ")
        );
        tokenizer.into_bytes()
    }

    fn tokenizer(appends_eos: bool, config: Option<&str>) -> Result<Tokenizer> {
        Tokenizer::from_bytes("tokenizer.json", &json(appends_eos), config.map(str::as_bytes))
    }

    #[test]
    fn appends_one_end_token_either_way() {
        for appends in [false, true] {
            let tokenizer = tokenizer(appends, None).unwrap();
            let found = tokenizer.encode("a  red puppy.").unwrap();
            assert_eq!(found.text, "a red puppy.");
            assert_eq!(found.ids, [4, 5, 7, 8, 10, 1]);
            assert_eq!(found.offsets, [(0, 1), (1, 5), (5, 9), (9, 11), (11, 12), (12, 12)]);
            assert_eq!(found.token_indices("Puppy", WordMatch::All).unwrap(), [2, 3]);
            assert_eq!(tokenizer.encode("").unwrap().ids, [1]);
        }
    }

    #[test]
    fn cuts_in_front_of_the_end_token() {
        let tokenizer =
            tokenizer(true, Some(r#"{"model_max_length": 3, "eos_token": {"content": "</s>"}}"#)).unwrap();
        let found = tokenizer.encode("a red cat").unwrap();
        assert_eq!((found.cut_off(), found.kept), (Some("cat"), 5));
        assert_eq!((found.ids, found.offsets.len()), (vec![4, 5, 1], 3));
        let whole = tokenizer.encode("a red").unwrap();
        assert_eq!((whole.cut_off(), whole.kept), (None, 5));
        assert!(
            tokenizer
                .token_indices("a red cat", "cat", WordMatch::All)
                .unwrap_err()
                .to_string()
                .contains("3 tokens")
        );
        let nothing = tokenizer.clone().with_max_length(1).unwrap().encode("a red cat").unwrap();
        assert_eq!((nothing.cut_off(), nothing.ids.as_slice()), (Some("a red cat"), &[1][..]));
        assert!(tokenizer.with_max_length(0).is_err());
    }

    #[test]
    fn looks_in_the_cleaned_prompt_or_in_the_raw_one() {
        let tokenizer = tokenizer(true, None).unwrap();
        let prompt = "a &amp; cat";
        assert_eq!(tokenizer.token_indices(prompt, "cat", WordMatch::All).unwrap(), [2]);
        // Tokenised raw, the reference takes more tokens.
        let raw = tokenizer.token_indices(prompt, "cat", WordMatch::Released).unwrap();
        assert!(raw.len() == 1 && raw[0] > 2, "{raw:?}");
    }

    #[test]
    fn reads_limits_from_the_configuration() {
        let limit = |config: &str| tokenizer(true, Some(config)).map(|t| t.max_length());
        assert_eq!(limit("{}").unwrap(), 512);
        assert_eq!(limit(r#"{"model_max_length": 77}"#).unwrap(), 77);
        assert_eq!(limit(r#"{"model_max_length": 1000000000000000019884624838656}"#).unwrap(), 512);
        assert!(limit(r#"{"model_max_length": 0}"#).unwrap_err().to_string().contains("model_max_length"));
        assert!(limit(r#"{"eos_token": "<|end|>"}"#).unwrap_err().to_string().contains("<|end|>"));
        assert!(limit(r#"{"eos_token": 5}"#).unwrap_err().to_string().contains("eos_token"));
        assert!(
            Tokenizer::from_bytes("tokenizer.json", b"{", None)
                .unwrap_err()
                .to_string()
                .contains("not a tokenizer")
        );
        assert!(matches!(Tokenizer::from_folder("/nonexistent-folder"), Err(Error::Io { .. })));
        // A byte order mark in either file.
        let marked = |text: &[u8]| [b"\xef\xbb\xbf", text].concat();
        let config = marked(br#"{"model_max_length": 77}"#);
        let found = Tokenizer::from_bytes("tokenizer.json", &marked(&json(true)), Some(&config)).unwrap();
        assert_eq!((found.max_length(), found.encode("a cat").unwrap().ids.len()), (77, 3));
    }

    /// A BERT vocabulary, one token a line.
    fn vocabulary(words: &[&str]) -> Vec<u8> {
        [&["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], words].concat().join("\n").into_bytes()
    }

    /// A folder of these files, read.
    fn folder(tag: &str, files: &[(&str, &[u8])]) -> Result<Tokenizer> {
        let path = std::env::temp_dir().join(format!("foveal-tokenizer-{tag}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        for (name, bytes) in files {
            std::fs::write(path.join(name), bytes).unwrap();
        }
        let read = Tokenizer::from_folder(&path);
        std::fs::remove_dir_all(&path).unwrap();
        read
    }

    #[test]
    fn a_vocabulary_alone_is_read_as_word_pieces() {
        let words = ["the", "film", "##s", "caf\u{e9}", "cafe", "\u{597d}", ".", "The"];
        let lower = vocabulary(&words[..7]);
        let ids = |tokenizer: Result<Tokenizer>, text: &str| tokenizer.unwrap().encode_raw(text).unwrap().ids;
        let found = folder("lower", &[("vocab.txt", &lower)]).unwrap();
        assert_eq!((found.eos(), found.stated_max_length(), found.max_length()), (3, None, 512));
        // Lower case takes accents off, and Chinese characters are words.
        assert_eq!(ids(Ok(found), "The films\u{597d}CAF\u{c9}. [SEP]"), [2, 5, 6, 7, 10, 9, 11, 3, 3]);
        let stated = br#"{"do_lower_case": false, "model_max_length": 4}"#;
        let cased = folder("cased", &[("vocab.txt", &lower), ("tokenizer_config.json", stated)]);
        assert_eq!(cased.as_ref().unwrap().stated_max_length(), Some(4));
        assert_eq!(ids(cased, "The film caf\u{e9} film"), [2, 1, 6, 3]);
        // A vocabulary with capitals keeps them where nothing is said.
        assert_eq!(ids(folder("capitals", &[("vocab.txt", &vocabulary(&words))]), "The the"), [2, 12, 5, 3]);
        let windows = String::from_utf8(lower).unwrap().replace('\n', "\r\n");
        assert_eq!(ids(folder("windows", &[("vocab.txt", windows.as_bytes())]), "the"), [2, 5, 3]);
    }

    #[test]
    fn folders_without_a_tokenizer_say_what_is_missing() {
        let text = |tag, files: &[(&str, &[u8])]| folder(tag, files).unwrap_err().to_string();
        let found = text("piece", &[("spiece.model", b"x")]);
        assert!(found.contains("tokenizer.json") && found.contains("`spiece.model` is not read"), "{found}");
        assert!(found.contains("save_pretrained"), "{found}");
        assert!(text("none", &[]).contains("tokenizer.json"));
        let found = text("foreign", &[("vocab.txt", b"a\nb\n")]);
        assert!(found.contains("vocab.txt") && found.contains("none of them is [UNK]"), "{found}");
        assert!(text("bytes", &[("vocab.txt", &[0xff, 0xfe])]).contains("not a vocabulary"));
        let wrong = br#"{"do_lower_case": "yes"}"#;
        let found = text("flag", &[("vocab.txt", &vocabulary(&["a"])), ("tokenizer_config.json", wrong)]);
        assert!(found.contains("tokenizer_config.json") && found.contains("`do_lower_case`"), "{found}");
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
        assert!(text("pointer", &[("tokenizer.json", pointer)]).contains("git lfs pull"));
    }

    /// BERT's tokenizer.json with this post-processor.
    fn bert(post_processor: &str) -> Vec<u8> {
        format!(
            r###"{{"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": {{"type": "BertPreTokenizer"}},
                "post_processor": {post_processor}, "decoder": null, "model": {{"type": "WordPiece", "unk_token": "[UNK]",
                "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
                "vocab": {{"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "film": 4}}}}}}"###
        )
        .into_bytes()
    }

    #[test]
    fn the_end_token_comes_from_the_tokenizer_where_no_configuration_has_it() {
        let processing = r#"{"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}"#;
        // With none of its own, BERT's kind of model gets BERT's.
        for (post_processor, config) in [
            (processing, None),
            (processing, Some(r#"{"do_lower_case": true}"#)),
            (processing, Some(r#"{"eos_token": null, "sep_token": {"content": "[SEP]"}}"#)),
            ("null", Some(r#"{"do_lower_case": true, "model_max_length": 512}"#)),
        ] {
            let config = config.map(str::as_bytes);
            let tokenizer = Tokenizer::from_bytes("tokenizer.json", &bert(post_processor), config).unwrap();
            assert_eq!(tokenizer.encode_raw("film film").unwrap().ids, [2, 4, 4, 3], "{post_processor}");
        }
        // A token in front of a text does not end it.
        let front = r#"{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}}}"#;
        for (config, end) in [(None, 3), (Some(r#"{"eos_token": "[CLS]"}"#), 2)] {
            let tokenizer = Tokenizer::from_bytes("t", &bert(front), config.map(str::as_bytes)).unwrap();
            assert_eq!(tokenizer.encode_raw("film film").unwrap().ids, [2, 4, 4, end]);
        }
        // T5's without a post-processor has the token in its vocabulary; a vocabulary without any is refused.
        assert_eq!(tokenizer(false, Some("{}")).unwrap().eos(), 1);
        let without = String::from_utf8(bert("null")).unwrap().replace("SEP", "END");
        let text = Tokenizer::from_bytes("tokenizer.json", without.as_bytes(), None).unwrap_err().to_string();
        assert!(text.contains("no end-of-sequence token") && text.contains("sep_token"), "{text}");
    }
}
