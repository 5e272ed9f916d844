#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

/// What the published model's template does, in words of this test's own: a system turn where none is given, placeholders
/// between a vision start and end.
const QWEN: &str = r#"{% set images = namespace(n=0) %}{% set videos = namespace(n=0) %}
{%- for m in messages %}
    {%- if loop.first and m['role'] != 'system' %}
        {{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}
    {%- endif %}
    {{- '<|im_start|>' + m['role'] + '\n' }}
    {%- if m['content'] is string %}
        {{- m['content'] }}
    {%- else %}
        {%- for part in m['content'] %}
            {%- if part['type'] == 'image' or 'image_url' in part %}
                {%- set images.n = images.n + 1 %}
                {%- if add_vision_id %}{{- 'Picture ' ~ images.n ~ ': ' }}{%- endif %}
                {{- '<|vision_start|><|image_pad|><|vision_end|>' }}
            {%- elif part.type == 'video' %}
                {{- '<|vision_start|><|video_pad|><|vision_end|>' }}
            {%- elif 'text' in part %}
                {{- part.text }}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
    {{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}"#;

fn user<'a>(content: Vec<ChatPart<'a>>) -> ChatMessage<'a> {
    ChatMessage { role: "user", content }
}

fn render(source: &str) -> Result<String> {
    ChatTemplate::from_source("t", source)?.render(&[user(vec![ChatPart::Text { text: "a <b> & \"c\"" }])])
}

#[test]
fn a_conversation_is_written_as_the_published_template_does() {
    let template = ChatTemplate::from_source("qwen", QWEN).unwrap();
    let content = vec![ChatPart::Video, ChatPart::Image, ChatPart::Text { text: "What <happens> & when?" }];
    assert_eq!(
        template.render(&[user(content.clone())]).unwrap(),
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n\
         <|vision_start|><|video_pad|><|vision_end|><|vision_start|><|image_pad|><|vision_end|>What <happens> & when?<|im_end|>\n\
         <|im_start|>assistant\n"
    );
    let system = ChatMessage { role: "system", content: vec![ChatPart::Text { text: "Be brief." }] };
    let told = template.render(&[system, user(content)]).unwrap();
    assert!(told.starts_with("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n"), "{told}");
}

#[test]
fn what_templates_use_of_python_is_there() {
    assert_eq!(render("{{ messages[0].content[0].text.strip().upper() }}").unwrap(), "A <B> & \"C\"");
    assert_eq!(render("{{ messages[0].role.startswith('us') }}").unwrap().to_lowercase(), "true");
    assert_eq!(render("{% for k, v in messages[0].items() %}{{ k }},{% endfor %}").unwrap(), "role,content,");
    assert_eq!(
        render("{% for m in messages %}{% if true %}{% break %}{% endif %}x{% endfor %}").unwrap(),
        ""
    );
    assert_eq!(render("{{ messages[0].content[0].text[::-1] }}").unwrap(), "\"c\" & >b< a");
    assert_eq!(
        render("{{ messages[0].content | tojson }}").unwrap(),
        r#"[{"type": "text", "text": "a <b> & \"c\""}]"#
    );
    assert_eq!(render("{{ tools is none and documents is none }}").unwrap().to_lowercase(), "true");
}

#[test]
fn what_a_template_cannot_do_is_said() {
    let said = |source: &str, words: &str| {
        let error = render(source).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("chat template"), "{error}");
    };
    said("{% if %}", "line 1");
    said("a\n{{ fetch('x') }}", "line 2");
    said("{{ fetch('x') }}", "fetch");
    said("{{ raise_exception('Only pictures are understood') }}", "Only pictures are understood");
    said("{{ messages | no_such_filter }}", "no_such_filter");
    said("{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}", "fuel");
    said("{% include 'other' %}", "include");
}

#[test]
fn it_is_found_where_folders_have_it() {
    let folder = std::env::temp_dir().join(format!("foveal-chat-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.as_path();
    let write = |name: &str, text: &str| std::fs::write(path.join(name), text).unwrap();
    let found = || ChatTemplate::from_folder(path).and_then(|t| t.render(&[user(vec![])]));
    assert!(found().unwrap_err().to_string().contains("no chat template"));
    write("tokenizer_config.json", r#"{"chat_template": 3}"#);
    assert!(found().unwrap_err().to_string().contains("`chat_template`"));
    write(
        "tokenizer_config.json",
        r#"{"eos_token": {"content": "<e>"}, "chat_template": [{"name": "tool_use", "template": "no"},
            {"name": "default", "template": "config{{ eos_token }}"}]}"#,
    );
    assert_eq!(found().unwrap(), "config<e>");
    write("chat_template.json", r#"{"chat_template": "own{{ eos_token }}"}"#);
    assert_eq!(found().unwrap(), "own<e>");
    write("chat_template.jinja", "\u{feff}plain{{ bos_token }}");
    assert_eq!(found().unwrap(), "plain");
    std::fs::write(path.join("chat_template.jinja"), [0xff, 0xfe, 0x41]).unwrap();
    assert!(found().is_err());
    std::fs::remove_dir_all(&folder).unwrap();
}
