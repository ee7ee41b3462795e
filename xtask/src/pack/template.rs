//! package.json from `pkg.json.template`, the only place where it is written.
//! Fills `{{field}}` from the client's Cargo.toml; decides nothing else. Called by `pack`.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace::Workspace;

const FIELDS: [&str; 4] = ["name", "version", "description", "license"];

pub(super) fn render(template: &str, ws: &Workspace) -> Result<String> {
    fill(template, |field| ws.field(field).map(str::to_owned))
}

fn fill(template: &str, value: impl Fn(&str) -> Result<String>) -> Result<String> {
    let mut text = template.to_owned();
    for field in FIELDS {
        // Quoted by serde_json, then without its quotes: the template has them already.
        let quoted = Value::String(value(field)?).to_string();
        let inner = quoted.trim_start_matches('"').trim_end_matches('"');
        text = text.replace(&format!("{{{{{field}}}}}"), inner);
    }
    if let Some((_, rest)) = text.split_once("{{") {
        bail!("the template asks for an unknown field: {}", rest.lines().next().unwrap_or_default());
    }
    serde_json::from_str::<Value>(&text).context("the rendered package.json is not JSON")?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn fields_are_filled_and_quoted() {
        let text =
            fill(r#"{"name": "{{name}}", "license": "{{license}}"}"#, |f| Ok(format!("<\n{f}>"))).unwrap();
        assert_eq!(text, r#"{"name": "<\nname>", "license": "<\nlicense>"}"#);
    }

    #[test]
    fn an_unknown_field_is_refused() {
        assert!(fill(r#"{"name": "{{nam}}"}"#, |_| Ok(String::new())).is_err());
    }
}
