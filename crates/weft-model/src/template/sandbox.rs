//! Holds back what the library does not charge fuel for before it has done it.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{Error, ErrorKind, State, Value, filters};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::{MAX_PROMPT_BYTES, TemplateError, describe};

/// Blanks before each level of what `tojson` writes; templates ask for 4.
const MAX_JSON_INDENT: usize = 16;
/// Written bytes for which `tojson` takes one instruction's fuel, as the library does.
const JSON_BYTES_PER_FUEL: u64 = 4;
/// Digits of a width or precision in `str.format`.
const MAX_WIDTH_DIGITS: usize = 3;

/// Refuses `*`, but behind a string: a list that is repeated costs no fuel however long it
/// is, and then takes its length in time and memory wherever it is compared or written.
pub(super) fn check(source: &str, syntax: &SyntaxConfig) -> Result<(), TemplateError> {
    let mut before = None;
    for token in tokenize(source, false, syntax.clone()) {
        let (token, span) = token.map_err(|error| TemplateError::Syntax(describe(&error)))?;
        let is_string = matches!(before, Some(Token::Str(_) | Token::String(_)));
        if matches!(token, Token::Mul) && !is_string {
            return Err(TemplateError::Syntax(format!(
                "`*` is only allowed behind a string (line {})",
                span.start_line
            )));
        }
        before = Some(token);
    }
    Ok(())
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
