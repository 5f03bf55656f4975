//! One key of a scenario changed from the command line.

use toml::de::{DeTable, DeValue};

use super::mistake::{Mistake, Source, nearest};

/// `site.clinic.uplink=5 Mbit/s`: where, and what stands there from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// A key (`seed`), a key of a table (`mesh.gossip`), or one of a named or numbered
    /// table (`site.clinic.uplink`, `churn.1.mean_up`).
    pub path: String,
    /// As it is written in the file, with or without quotes.
    pub value: String,
}

impl std::str::FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, value) = text
            .split_once('=')
            .ok_or("a setting is written path.to.key=value")?;
        let (path, value) = (path.trim(), value.trim());
        if path.is_empty() || value.is_empty() {
            return Err("a setting is written path.to.key=value".to_owned());
        }
        Ok(Self {
            path: path.to_owned(),
            value: value.to_owned(),
        })
    }
}

/// The text with this key changed, or added where the file leaves it out.
pub fn set(source: Source<'_>, setting: &Setting) -> Result<String, Mistake> {
    let document = DeTable::parse(source.text).map_err(|error| source.unreadable(&error))?;
    let wrong = |why: String, next: String| Mistake {
        what: format!("--set {}={}", setting.path, setting.value),
        why,
        next,
    };
    let (table, key) =
        find(document.get_ref(), &setting.path).map_err(|(why, next)| wrong(why, next))?;
    let mut text = source.text.to_owned();
    if let Some((_, value)) = table.iter().find(|(name, _)| name.get_ref() == key) {
        let quoted = matches!(value.get_ref(), DeValue::String(_));
        text.replace_range(value.span(), &literal(&setting.value, quoted));
        return Ok(text);
    }
    let first = table.iter().map(|(name, _)| name.span().start).min();
    let at = first.unwrap_or(text.len());
    let line = format!("{key} = {}\n", literal(&setting.value, false));
    text.insert_str(at, &line);
    Ok(text)
}

type Place<'a, 'b> = (&'a DeTable<'b>, &'a str);

/// The table that the path leads to, and the key in it.
fn find<'a, 'b>(root: &'a DeTable<'b>, path: &'a str) -> Result<Place<'a, 'b>, (String, String)> {
    let Some((first, rest)) = path.split_once('.') else {
        return Ok((root, path));
    };
    let Some((_, value)) = root.iter().find(|(name, _)| name.get_ref() == first) else {
        let names: Vec<&str> = root
            .iter()
            .map(|(name, _)| name.get_ref().as_ref())
            .collect();
        let next = match nearest(first, names.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("the scenario has {}", names.join(", ")),
        };
        return Err((format!("the scenario has no {first:?}"), next));
    };
    let tables = match value.get_ref() {
        DeValue::Table(table) => return Ok((table, rest)),
        DeValue::Array(tables) => tables,
        _ => {
            return Err((
                format!("{first:?} holds no keys of its own"),
                format!("--set {first}=VALUE"),
            ));
        }
    };
    // a version has dots too
    let (selector, key) = rest.rsplit_once('.').ok_or_else(|| {
        (
            format!("which {first} is meant?"),
            format!("--set {first}.NAME.{rest}=VALUE   (or its number from 1)"),
        )
    })?;
    let tables: Vec<&DeTable<'b>> = tables
        .iter()
        .filter_map(|table| match table.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => None,
        })
        .collect();
    let named = tables.iter().find(|table| name_of(table) == Some(selector));
    let numbered = selector.parse::<usize>().ok();
    let numbered = numbered.and_then(|number| tables.get(number.checked_sub(1)?));
    if let Some(table) = named.or(numbered) {
        return Ok((table, key));
    }
    let names: Vec<&str> = tables.iter().filter_map(|table| name_of(table)).collect();
    let next = match nearest(selector, names.iter().copied()) {
        Some(near) => format!("did you mean {first}.{near}.{key}?"),
        None if names.is_empty() => format!("there are {first}.1 to {first}.{}", tables.len()),
        None => format!("there are {}", names.join(", ")),
    };
    Err((format!("there is no {first} {selector:?}"), next))
}

fn name_of<'a>(table: &'a DeTable<'_>) -> Option<&'a str> {
    let found = table
        .iter()
        .find(|(key, _)| matches!(key.get_ref().as_ref(), "name" | "version"));
    match found?.1.get_ref() {
        DeValue::String(name) => Some(name.as_ref()),
        _ => None,
    }
}

/// As TOML: quoted where text stands now, or where it could be nothing else.
fn literal(value: &str, quoted: bool) -> String {
    let is_value = toml::from_str::<toml::Table>(&format!("x = {value}")).is_ok();
    let is_quoted = value.starts_with('"');
    if is_value && (!quoted || is_quoted) {
        return value.to_owned();
    }
    toml::Value::String(value.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "seed = 1\n[[site]]\nname = \"a\"\nuplink = \"1 Mbit/s\"\n[[site]]\nname = \"b\"\n[[release]]\nversion = \"1.0.0\"\nsize = \"1 MiB\"\n";

    fn check(setting: &str, line: &str) {
        let setting: Setting = setting.parse().expect("a setting");
        let source = Source {
            name: "test",
            text: TEXT,
        };
        let text = set(source, &setting).expect("it is there");
        assert!(text.contains(line), "{text}");
        assert!(toml::from_str::<toml::Table>(&text).is_ok(), "{text}");
    }

    #[test]
    fn keys_are_changed_where_they_stand() {
        check("seed=7", "seed = 7\n");
        check(
            "site.a.uplink=5 Mbit/s",
            "name = \"a\"\nuplink = \"5 Mbit/s\"",
        );
        check("release.1.0.0.size=2 MiB", "size = \"2 MiB\"");
        check("site.2.nodes=3", "[[site]]\nnodes = 3\nname = \"b\"");
        check("time_limit=2 h", "time_limit = \"2 h\"\nseed = 1");
    }

    #[test]
    fn what_is_not_there_is_told() {
        let source = Source {
            name: "test",
            text: TEXT,
        };
        let told = |setting: &str| {
            let mistake = set(source, &setting.parse().expect("a setting")).expect_err("wrong");
            format!("{} | {}", mistake.why, mistake.next)
        };
        assert_eq!(
            told("site.c.nodes=1"),
            "there is no site \"c\" | there are a, b"
        );
        assert_eq!(
            told("sites.a.nodes=1"),
            "the scenario has no \"sites\" | did you mean site?"
        );
        assert_eq!(
            told("site.nodes=1"),
            "which site is meant? | --set site.NAME.nodes=VALUE   (or its number from 1)"
        );
    }
}
