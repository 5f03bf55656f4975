//! Holds back what the library does not charge fuel for before it has done it.

use minijinja::machinery::{Span, Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, State, Value, filters};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::{MAX_PROMPT_BYTES, TemplateError, describe};

/// Blanks before each level of what `tojson` writes; templates ask for 4.
const MAX_JSON_INDENT: usize = 16;
/// Written bytes for which `tojson` takes one instruction's fuel, as the library does.
const JSON_BYTES_PER_FUEL: u64 = 4;
/// The library reads and computes an expression by recursion; those of templates have some dozens.
const MAX_EXPRESSION_WORDS: usize = 1024;
/// Digits of a width or precision in `str.format`.
const MAX_WIDTH_DIGITS: usize = 3;

/// Makes the text that is compiled of the template's.
///
/// It refuses `*`, but behind a string: a list that is repeated costs no fuel however long it
/// is, and then takes its length in time and memory wherever it is compared or written.
///
/// What is put in a namespace goes through [`plain`]: only there a loop could make a list of
/// lists, one deeper each time, or a value that holds itself, and the library walks values by
/// recursion.
pub(super) fn prepare(source: &str, syntax: &SyntaxConfig) -> Result<String, TemplateError> {
    let mut tokens = Vec::new();
    for token in tokenize(source, false, syntax.clone()) {
        tokens.push(token.map_err(|error| TemplateError::Syntax(describe(&error)))?);
    }
    let begins =
        |(token, _): &(Token<'_>, Span)| matches!(token, Token::BlockStart | Token::VariableStart);
    for expression in tokens.split(begins) {
        if let Some((_, span)) = expression.get(MAX_EXPRESSION_WORDS) {
            let what = format!("an expression has more than {MAX_EXPRESSION_WORDS} words");
            return Err(not_allowed(&what, *span));
        }
    }
    for pair in tokens.windows(2) {
        let is_string = matches!(pair[0].0, Token::Str(_) | Token::String(_));
        if matches!(pair[1].0, Token::Mul) && !is_string {
            return Err(not_allowed(
                "`*` is only allowed behind a string",
                pair[1].1,
            ));
        }
    }
    let (mut text, mut copied) = (String::with_capacity(source.len()), 0);
    let statements = tokens.split(|(token, _)| matches!(token, Token::BlockStart));
    for statement in statements {
        let Some((opened, closed)) = namespace_value(statement)? else {
            continue;
        };
        text.push_str(&source[copied..opened]);
        text.push('(');
        text.push_str(&source[opened..closed]);
        text.push_str(")|");
        text.push_str(PLAIN);
        copied = closed;
    }
    text.push_str(&source[copied..]);
    Ok(text)
}

/// Where the value begins and ends that a statement puts in a namespace, if it does.
fn namespace_value(
    statement: &[(Token<'_>, Span)],
) -> Result<Option<(usize, usize)>, TemplateError> {
    let Some((Token::Ident("set"), span)) = statement.first() else {
        return Ok(None);
    };
    let ends = |(token, _): &(Token<'_>, Span)| matches!(token, Token::Assign | Token::BlockEnd);
    let end = statement.iter().position(ends).unwrap_or(statement.len());
    let (target, rest) = statement[1..].split_at(end.saturating_sub(1));
    if !target.iter().any(|(token, _)| matches!(token, Token::Dot)) {
        return Ok(None);
    }
    let is_name = |(token, _): &(Token<'_>, Span)| matches!(token, Token::Ident(_) | Token::Dot);
    if !target.iter().all(is_name) {
        return Err(not_allowed("a namespace is set one name at a time", *span));
    }
    // A block gives a string.
    let Some((Token::Assign, assign)) = rest.first() else {
        return Ok(None);
    };
    let close = rest
        .iter()
        .find(|(token, _)| matches!(token, Token::BlockEnd));
    let (_, close) = close.ok_or_else(|| not_allowed("a statement does not end", *span))?;
    Ok(Some((
        assign.end_offset as usize,
        close.start_offset as usize,
    )))
}

/// The filter that lets only values without parts through.
pub(super) const PLAIN: &str = "weft_plain";

pub(super) fn plain(value: Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Undefined
        | ValueKind::None
        | ValueKind::Bool
        | ValueKind::Number
        | ValueKind::String => Ok(value),
        other => Err(refused(format!(
            "a namespace holds texts, numbers, true, false and none, not {other}"
        ))),
    }
}

fn not_allowed(what: &str, span: Span) -> TemplateError {
    TemplateError::Syntax(format!("{what} (line {})", span.start_line))
}

/// The library's own filter, which would write any number of blanks.
pub(super) fn tojson(
    state: &State,
    value: &Value,
    indent: Option<Value>,
    arguments: Kwargs,
) -> Result<Value, Error> {
    let asked = match &indent {
        Some(indent) => Some(indent.clone()),
        None => arguments.peek::<Option<Value>>("indent")?,
    };
    let blanks = asked.and_then(|indent| usize::try_from(indent).ok());
    if blanks.is_some_and(|blanks| blanks > MAX_JSON_INDENT) {
        return Err(refused(format!(
            "tojson indents by {MAX_JSON_INDENT} at most"
        )));
    }
    let json = filters::tojson(value, indent, arguments)?;
    let bytes = json.as_str().map_or(0, str::len) as u64;
    state.consume_fuel(bytes / JSON_BYTES_PER_FUEL)?;
    Ok(json)
}

/// Python's methods, of which two would write any number of bytes.
pub(super) fn method(
    state: &mut State,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    match (name, value.as_str(), arguments) {
        ("format", Some(pattern), _) if !has_small_widths(pattern) => {
            return Err(refused(format!(
                "format takes widths of {MAX_WIDTH_DIGITS} digits at most"
            )));
        }
        ("join", Some(_), [list]) => {
            let mut bytes = 0_usize;
            for item in list.try_iter()? {
                bytes = bytes.saturating_add(item.as_str().map_or(0, str::len));
                if bytes > MAX_PROMPT_BYTES {
                    return Err(refused(format!(
                        "join makes {MAX_PROMPT_BYTES} bytes at most"
                    )));
                }
            }
        }
        _ => {}
    }
    unknown_method_callback(state, value, name, arguments)
}

/// Whether no field of a `str.format` pattern asks for a long number of characters, or takes
/// it from another field.
fn has_small_widths(pattern: &str) -> bool {
    let mut rest = pattern;
    while let Some(start) = rest.find('{') {
        let field = &rest[start + 1..];
        if let Some(behind) = field.strip_prefix('{') {
            rest = behind;
            continue;
        }
        let end = field.find('}').unwrap_or(field.len());
        let digits = field[..end].split(|character: char| !character.is_ascii_digit());
        if field[..end].contains('{') || digits.map(str::len).max() > Some(MAX_WIDTH_DIGITS) {
            return false;
        }
        rest = &field[end..];
    }
    true
}

fn refused(reason: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason)
}

#[cfg(test)]
mod tests {
    use super::has_small_widths;

    #[test]
    fn tells_patterns_that_ask_for_much() {
        for small in [
            "",
            "{}",
            "{0:>10}: {name!r:.3f}",
            "{{9999}} {}",
            "1000 {}",
            "{",
        ] {
            assert!(has_small_widths(small), "{small}");
        }
        for large in [
            "{:9999}",
            "{:.1000f}",
            "{:{}}",
            "{{{:1000}}}",
            "{} {:>1000",
            "{:}}{:1000}",
        ] {
            assert!(!has_small_widths(large), "{large}");
        }
    }
}
