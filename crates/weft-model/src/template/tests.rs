#![allow(clippy::unwrap_used)]

use std::fs;

use serde_json::json;

use super::*;
use crate::fixture::{TEMPLATE, write_directory};
use crate::quantize::{Quantization, quantize};
use crate::source::ModelSource;

fn render(source: &str, messages: &[Message]) -> Result<String, TemplateError> {
    ChatTemplate::new(source, "<s>", "</s>")
        .unwrap()
        .render(messages, true)
}

fn hello() -> Vec<Message> {
    vec![
        Message::new("system", "Be brief."),
        Message::new("user", "  Hello <b>&</b> "),
    ]
}

/// The shape that SmolLM and Qwen use.
const CHATML: &str = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

#[test]
fn a_list_is_not_repeated() {
    for source in [
        "{{ [0] * 9999 }}",
        "{{ 9999 * messages }}",
        "{{ 2 * 'a b'.split() }}",
        "{{ range(*messages) }}",
        "{% set x = ('a', 'b') * 2 %}",
    ] {
        let refused = ChatTemplate::new(source, "", "");
        assert!(
            matches!(refused, Err(TemplateError::Syntax(_))),
            "{source}: {refused:?}"
        );
    }
    let allowed = "**{# * #}{{ '=' * 3 }}{{ '*' }} * {% raw %}{{ 2 * 3 }}{% endraw %}";
    assert_eq!(render(allowed, &[]).unwrap(), "**===* * {{ 2 * 3 }}");
}

#[test]
fn a_namespace_holds_no_lists() {
    let plain = "{% set ns = namespace(a='x', n=0) %}{% for i in range(3) %}{% set ns.a = ns.a ~ i %}{%- set ns.n = ns.n + 1 if i else 5 -%}{% endfor %}{% set ns.b %}[{{ ns.a }}]{% endset %}{{ ns.b }}{{ ns.n }}";
    assert_eq!(render(plain, &[]).unwrap(), "[x012]7");
    let before = "{% set ns = namespace(a=1) %}";
    for change in [
        "{% set ns.a = ns %}{{ ns }}",
        "{% for i in range(99999) %}{% set ns.a = [ns.a] %}{% endfor %}",
        "{% for i in range(9) %}{%-set ns.a={'a': ns.a}-%}{% endfor %}",
        "{% set ns.a = 1, 2 %}",
    ] {
        let error = render(&format!("{before}{change}"), &[]).unwrap_err();
        assert!(matches!(error, TemplateError::Failed(_)), "{error}");
        assert!(error.to_string().contains("a namespace holds"), "{error}");
    }
    for change in [
        "{% set ns.a, b = [ns], 2 %}",
        "{% set (ns.a) = ns %}",
        "{% set ns.a | default([ns]) %}{% endset %}",
    ] {
        let refused = ChatTemplate::new(&format!("{before}{change}"), "", "");
        assert!(
            matches!(refused, Err(TemplateError::Syntax(_))),
            "{refused:?}"
        );
    }
}

#[test]
fn values_are_not_nested_deeper_than_a_stack() {
    let step = "{% set a=[a] %}";
    let deep = step.repeat(MAX_TEMPLATE_BYTES / step.len());
    assert_eq!(render(&deep, &[]).unwrap(), "");
    let looped = "{% set a = 1 %}{% for i in range(99999) %}{% set a = [a] %}{% endfor %}{{ a }}";
    assert_eq!(render(looped, &[]).unwrap(), "1");
}

#[test]
fn a_long_template_does_not_overflow_a_stack() {
    for (before, step, after) in [
        ("{{ ", "(", ""),
        ("{{ ", "[", ""),
        ("{{ ", "not ", "1 }}"),
        ("{{ ", "-", "1 }}"),
        ("{{ 1", "+1", " }}"),
        ("{{ 1", "**1", " }}"),
        ("{{ 1", " if 1 else 1", " }}"),
        ("{{ 'a'", "~'a'", " }}"),
        ("{{ [1]", "+[1]", "|length }}"),
        ("{{ messages", "[1:]", "|length }}"),
        ("{{ messages", "|reverse", "|length }}"),
        ("{{ messages", "|list", "|length }}"),
        ("{{ messages", ".a", " }}"),
        ("{{ 1 is eq ", "1 is eq ", "1 }}"),
        ("", "{% if 1 %}", ""),
        ("", "{% for a in messages %}", ""),
        ("", "{% macro a() %}", ""),
        (
            "{% set a = messages %}",
            "{% set a=a[1:] %}",
            "{{ a|length }}",
        ),
        (
            "{% set a = messages %}",
            "{% set a=a|reverse %}",
            "{{ a|length }}",
        ),
        ("{% set a = [1] %}", "{% set a=[1]+a %}", "{{ a|length }}"),
        ("{% set a = [1] %}", "{% set a=[a] %}", "{{ a }}"),
        ("{% set a = [1] %}", "{% set a=[a] %}", "{{ a == a }}"),
        ("{% set a = [1] %}", "{% set a=[a] %}", "{{ a|tojson }}"),
    ] {
        let room = (MAX_TEMPLATE_BYTES - before.len() - after.len()) / step.len();
        for count in [1000, room] {
            let source = format!("{before}{}{after}", step.repeat(count.min(room)));
            if let Ok(template) = ChatTemplate::new(&source, "", "") {
                let _ = template.render(&hello(), false);
            }
        }
    }
}

#[test]
fn methods_make_no_more_than_a_prompt() {
    let fits = "{{ '{:>3}|{}'.format(1, 'a') }} {{ ', '.join(['a', 1]) }}";
    assert_eq!(render(fits, &[]).unwrap(), "  1|a a, 1");
    let list = "x, ".repeat(500);
    for source in [
        "{{ '{:9999999999}'.format(1) }}",
        "{{ '{:.99999f}'.format(1.0) }}",
        "{{ '{:{}}'.format(1, 9999999999) }}",
        &format!("{{% set x = 'a' * 9999 %}}{{{{ ''.join([{list}])|length }}}}"),
    ] {
        let error = render(source, &[]).unwrap_err();
        assert!(matches!(error, TemplateError::Failed(_)), "{error}");
        assert!(error.to_string().contains("at most"), "{error}");
    }
}

#[test]
fn json_has_few_blanks() {
    let list = r#"{{ ["<", 1]|tojson }} {{ [1]|tojson(2) }} {{ [1]|tojson(indent=none) }}"#;
    let written = r#"["\u003c", 1] [
  1
] [1]"#;
    assert_eq!(render(list, &[]).unwrap(), written);
    for source in [
        "{{ [1]|tojson(99999999999) }}",
        "{{ [1]|tojson(indent=17) }}",
        "{{ [[1]]|map('tojson', 99999999999)|list }}",
    ] {
        let error = render(source, &[]).unwrap_err();
        assert!(matches!(error, TemplateError::Failed(_)), "{error}");
        assert!(error.to_string().contains("16 at most"), "{error}");
    }
    let many = "{% for i in range(9999) %}{% set x = bos_token|tojson %}{% endfor %}";
    let template = ChatTemplate::new(many, "a".repeat(9999), "").unwrap();
    let error = template.render(&[], false).unwrap_err();
    assert!(matches!(error, TemplateError::OutOfFuel(_)), "{error}");
}

#[test]
fn chatml() {
    let user = [Message::new("user", "Hi")];
    let template = ChatTemplate::new(CHATML, "", "").unwrap();
    let body = "<|im_start|>system\nYou help.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n";
    assert_eq!(template.render(&user, false).unwrap(), body);
    assert_eq!(
        template.render(&user, true).unwrap(),
        format!("{body}<|im_start|>assistant\n")
    );
}

#[test]
fn idioms_of_hugging_face() {
    let check = |source: &str, expected: &str| {
        assert_eq!(render(source, &hello()).unwrap(), expected, "{source}");
    };
    check("{{ bos_token }}{{ eos_token }}", "<s></s>");
    // No escaping, and Python's methods.
    check("{{ messages[1].content.strip() }}", "Hello <b>&</b>");
    check("{{ messages[0].content.startswith('Be') }}", "True");
    check("{{ messages[0].content.split(' ')[-1] }}", "brief.");
    check(
        "{{ messages[1]['role'].upper() }}|{{ messages[-1].content | trim }}",
        "USER|Hello <b>&</b>",
    );
    // Blocks on lines of their own leave no trace.
    check(
        "{% if true %}\n  {% set x = 1 %}\nx{{ x }}\n{% endif %}\n",
        "x1\n",
    );
    // What a template asks for before it uses it.
    check(
        "{% if strftime_now is defined %}date{% else %}none{% endif %}",
        "none",
    );
    check(
        "{% if tools %}a{% elif tools is none %}b{% endif %}{% if not documents %}c{% endif %}",
        "bc",
    );
    check(
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
        "2",
    );
    check(
        "{% for m in messages %}{% if loop.last %}{% break %}{% endif %}{{ m.role }}{% endfor %}",
        "system",
    );
    check(
        "{% macro turn(m) %}[{{ m.role }}]{% endmacro %}{{ turn(messages[0]) }}",
        "[system]",
    );
    check(
        "{{ messages[1:] | length }}{{ (messages | selectattr('role', 'equalto', 'user') | list) | length }}",
        "11",
    );
}

#[test]
fn a_template_may_refuse() {
    let source =
        "{% if messages[0].role == 'system' %}{{ raise_exception('No system turns.') }}{% endif %}";
    let error = render(source, &hello()).unwrap_err();
    assert!(matches!(&error, TemplateError::Refused(reason) if reason == "No system turns."));
    assert_eq!(render(source, &hello()[1..]).unwrap(), "");
}

#[test]
fn a_template_that_loops_is_refused() {
    for source in [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(9999) %}{% for b in range(9999) %}{% set x = a + b %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% for i in range(50000) %}{{ f(n) }}{% endfor %}{% endmacro %}{{ f(1) }}",
    ] {
        let error = render(source, &hello()).unwrap_err();
        let bounded = match &error {
            TemplateError::OutOfFuel(limit) => *limit == TEMPLATE_FUEL,
            // The macro meets the depth of calls first.
            TemplateError::Failed(reason) => reason.contains("recursion"),
            _ => false,
        };
        assert!(bounded, "{error:?}");
    }
}

#[test]
fn a_template_that_floods_is_refused() {
    for source in [
        "{% for a in range(90000) %}{{ 'a line of some length, again and again and again' }}{% endfor %}",
        "{{ 'a' * 50000000 }}",
    ] {
        let error = render(source, &hello()).unwrap_err();
        assert!(
            matches!(error, TemplateError::OutputTooLong(MAX_PROMPT_BYTES)),
            "{error:?}"
        );
    }
    assert!(matches!(
        render("", &[Message::new("user", "x".repeat(MAX_MESSAGES_BYTES))]),
        Err(TemplateError::InputTooLong { .. })
    ));
    assert!(matches!(
        ChatTemplate::new(&" ".repeat(MAX_TEMPLATE_BYTES + 1), "", ""),
        Err(TemplateError::TooLong { .. })
    ));
}

#[test]
fn a_damaged_template_is_refused() {
    assert!(matches!(
        ChatTemplate::new("{% for %}", "", ""),
        Err(TemplateError::Syntax(reason)) if reason.contains("line 1")
    ));
    assert!(matches!(
        render("{{ nothing.at.all }}", &[]),
        Err(TemplateError::Failed(_))
    ));
    let deep = format!("{}1{}", "(".repeat(50_000), ")".repeat(50_000));
    assert!(ChatTemplate::new(&format!("{{{{ {deep} }}}}"), "", "").is_err());
    // Nothing outside of the template can be named.
    for source in [
        "{% include '/etc/passwd' %}",
        "{% import 'a' as a %}",
        "{% extends 'a' %}",
    ] {
        let refused = ChatTemplate::new(source, "", "");
        assert!(matches!(refused, Err(TemplateError::Syntax(_))), "{source}");
    }
}

#[test]
fn a_directory_and_its_gguf_file_render_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("hub");
    write_directory(&directory, "llama");
    let source = ModelSource::open(&directory).unwrap();
    let expected = "<|begin|><system>Be brief.\n<user>Hello <b>&</b>\n<assistant>";
    let rendered = |source: &ModelSource| {
        let template = source.chat_template().unwrap().unwrap();
        template.render(&hello(), true).unwrap()
    };
    assert_eq!(rendered(&source), expected);
    let out = folder.path().join("out.gguf");
    quantize(&source, Quantization::Q8_0, &out).unwrap();
    assert_eq!(rendered(&ModelSource::open(&out).unwrap()), expected);
}

#[test]
fn where_a_directory_keeps_its_template() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write_directory(path, "llama");
    let source = ModelSource::open(path).unwrap();
    let template = || {
        source
            .chat_template()
            .unwrap()
            .map(|found| found.source().to_owned())
    };
    assert_eq!(template().as_deref(), Some(TEMPLATE));
    let several = json!({ "chat_template": [
        { "name": "tools", "template": "a" }, { "name": "default", "template": "b" },
    ]});
    fs::write(path.join("tokenizer_config.json"), several.to_string()).unwrap();
    assert_eq!(template().as_deref(), Some("b"));
    fs::write(path.join("chat_template.jinja"), "c").unwrap();
    assert_eq!(template().as_deref(), Some("c"));
    fs::remove_file(path.join("chat_template.jinja")).unwrap();
    fs::remove_file(path.join("tokenizer_config.json")).unwrap();
    assert_eq!(template(), None);
}
