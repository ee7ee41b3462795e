//! The configuration file. Decides how flags, the environment and the file become one: in this order, each option by
//! the name of its flag. Knows no option by itself, clap does. Called by `main` before anything else.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command as Clap, CommandFactory as _, Error, FromArgMatches as _};
use toml::{Table, Value};

use super::Cli;

/// What stands in place of a secret.
const HIDDEN: &str = "…";

/// A command line that was read, together with the environment and the file that it names.
#[derive(Debug)]
pub struct Invocation {
    pub cli: Cli,
    /// Every option with its value and where that is from, as a configuration file; secrets left out.
    pub effective: String,
}

impl Invocation {
    /// Reads the arguments, the first of which is the name of the command.
    ///
    /// # Errors
    /// What is wrong with them, as clap tells it; also when the help or the version is asked for.
    pub fn read(arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Self, Error> {
        let mut arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let given = Cli::command().try_get_matches_from(&arguments)?;
        let mut from_file = Vec::new();
        if let Some(path) = innermost(&given).get_one::<PathBuf>("config") {
            let (names, flags) = flags(&read(path)?, path, &given)?;
            // Behind the name of the subcommand: what follows `--` stays where it is.
            let at = 1 + usize::from(given.subcommand().is_some());
            arguments.splice(at..at, flags);
            from_file = names;
        }
        let matches =
            Cli::command().try_get_matches_from(arguments).map_err(|error| match from_file.len() {
                0 => error,
                _ => in_file(innermost(&given).get_one("config"), &error),
            })?;
        let effective = effective(innermost(&matches), &from_file);
        Ok(Invocation { cli: Cli::from_arg_matches(&matches)?, effective })
    }
}

fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, inner)| inner)
}

fn problem(text: String) -> Error {
    Cli::command().error(ErrorKind::InvalidValue, text)
}

/// An option that is right by itself, but not with what the file says.
fn in_file(path: Option<&PathBuf>, error: &Error) -> Error {
    let text = error.to_string();
    let text = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    problem(path.map_or(text.clone(), |path| format!("{}: {text}", path.display())))
}

fn read(path: &Path) -> Result<Table, Error> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        problem(format!("cannot read the configuration file {}: {error}", path.display()))
    })?;
    text.parse().map_err(|error: toml::de::Error| {
        // The message alone: the line that it quotes may hold a secret.
        let line = error.span().map(|at| text.get(..at.start).unwrap_or(&text).lines().count().max(1));
        let line = line.map(|line| format!(" line {line}")).unwrap_or_default();
        problem(format!("{}{line}: {}", path.display(), error.message()))
    })
}

/// The options that a file may hold, by the names of their flags: what the environment may say, a file may say.
fn options(command: &Clap) -> impl Iterator<Item = (&str, &Arg)> {
    let options = command.get_arguments().filter(|arg| arg.get_env().is_some());
    options.filter_map(|arg| Some((arg.get_long()?, arg))).filter(|(name, _)| *name != "config")
}

/// The options of a file that neither a flag nor the environment overrules: their ids, and as flags.
fn flags(file: &Table, path: &Path, given: &ArgMatches) -> Result<(Vec<String>, Vec<OsString>), Error> {
    let whole = Cli::command();
    let command = given.subcommand_name().and_then(|name| whole.find_subcommand(name)).unwrap_or(&whole);
    let (mut names, mut flags) = (Vec::new(), Vec::new());
    for (key, value) in file {
        if !options(&whole).any(|(name, _)| name == key) {
            let nearest = options(&whole)
                .map(|(name, _)| name)
                .min_by_key(|name| strsim::damerau_levenshtein(name, key))
                .unwrap_or_default();
            return Err(problem(format!("{}: there is no option {key}; is it {nearest}?", path.display())));
        }
        // Not every subcommand needs every option.
        let Some((_, arg)) = options(command).find(|(name, _)| name == key) else { continue };
        if overruled(command, arg, innermost(given)) {
            continue;
        }
        let texts = texts(value, arg)
            .ok_or_else(|| problem(format!("{}: {key} cannot be {}", path.display(), value.type_str())))?;
        names.push(arg.get_id().to_string());
        flags.extend(texts.into_iter().map(|text| match text {
            Some(text) => format!("--{key}={text}").into(),
            None => format!("--{key}").into(),
        }));
    }
    Ok((names, flags))
}

/// Whether the option, or one that excludes it, was given otherwise.
fn overruled(command: &Clap, arg: &Arg, given: &ArgMatches) -> bool {
    let is_given = |arg: &Arg| {
        let source = given.try_contains_id(arg.get_id().as_str()).ok();
        let source = source.and_then(|_| given.value_source(arg.get_id().as_str()));
        matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    };
    let excludes = |one: &Arg, other: &Arg| {
        command.get_arg_conflicts_with(one).iter().any(|excluded| excluded.get_id() == other.get_id())
    };
    is_given(arg)
        || options(command)
            .any(|(_, other)| is_given(other) && (excludes(arg, other) || excludes(other, arg)))
}

/// The values of an option, none for a switch that is on. Nothing if the file's value is of a wrong kind.
fn texts(value: &Value, arg: &Arg) -> Option<Vec<Option<String>>> {
    let switch = matches!(arg.get_action(), ArgAction::SetTrue);
    match value {
        Value::Boolean(on) if switch => Some(on.then_some(None).into_iter().collect()),
        _ if switch => None,
        Value::String(text) => Some(vec![Some(text.clone())]),
        Value::Integer(number) => Some(vec![Some(number.to_string())]),
        Value::Float(number) => Some(vec![Some(number.to_string())]),
        Value::Array(values) if matches!(arg.get_action(), ArgAction::Append) => {
            values.iter().map(|value| Some(Some(value.as_str()?.to_owned()))).collect()
        }
        Value::Boolean(_) | Value::Array(_) | Value::Datetime(_) | Value::Table(_) => None,
    }
}

/// Every option that the command knows, with its value and its source.
fn effective(matches: &ArgMatches, from_file: &[String]) -> String {
    let whole = Cli::command();
    let lines = options(&whole).filter_map(|(name, arg)| {
        let id = arg.get_id().as_str();
        matches.try_contains_id(id).ok()?;
        let Some(values) = matches.get_raw(id) else { return Some(format!("# {name} is not set\n")) };
        let source = match matches.value_source(id) {
            Some(ValueSource::CommandLine) if from_file.iter().any(|name| name == id) => "file",
            Some(ValueSource::CommandLine) => "flag",
            Some(ValueSource::EnvVariable) => "environment",
            _ => "default",
        };
        // A secret has no default; an address is shown without its password.
        if arg.is_hide_env_values_set() && arg.get_default_values().is_empty() {
            return Some(format!("# {name} is set ({source})\n"));
        }
        let mut values: Vec<String> = values.map(|value| text(&value.to_string_lossy())).collect();
        let value = match arg.get_action() {
            ArgAction::Append => format!("[{}]", values.join(", ")),
            _ => values.pop().unwrap_or_default(),
        };
        Some(format!("{name} = {value}  # {source}\n"))
    });
    lines.collect()
}

/// A value in the notation of TOML, without the password of an address.
fn text(value: &str) -> String {
    if value.parse::<u64>().is_ok() || value.parse::<bool>().is_ok() {
        return value.to_owned();
    }
    let shown =
        match value.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?))) {
            Some((scheme, (user, place))) => {
                let name = user.split(':').next().unwrap_or_default();
                format!("{scheme}://{name}:{HIDDEN}@{place}")
            }
            None => value.to_owned(),
        };
    // A string of JSON is one of TOML, too.
    serde_json::Value::String(shown).to_string()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use super::*;

    /// What comes of a file and of flags.
    fn read(file: &str, flags: &[&str]) -> Result<Invocation, String> {
        let mut place = tempfile::NamedTempFile::new().unwrap();
        place.write_all(file.as_bytes()).unwrap();
        let path = place.path().to_str().unwrap();
        let mut arguments = vec!["crsqlite-relay"];
        let rest = match flags {
            ["token" | "config", ..] => {
                arguments.push(flags[0]);
                &flags[1..]
            }
            _ => flags,
        };
        arguments.extend(["--config", path]);
        arguments.extend(rest);
        Invocation::read(arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn the_file_is_read_by_the_names_of_the_flags_and_a_flag_overrules_it() {
        let file = "listen = '127.0.0.1:1'\ndrain-time = '7s'\nqueue-messages = 9\ndev = true\n\
                    allow-origin = ['https://a.example', 'https://b.example']\n";
        let config = read(file, &["--drain-time", "8s"]).unwrap().cli.config;
        assert_eq!(config.listen.to_string(), "127.0.0.1:1");
        assert_eq!((config.drain_time, config.limits.queue_messages), (Duration::from_secs(8), 9));
        assert_eq!((config.secret.dev, config.allow_origin.len()), (true, 2));
        assert!(!read("dev = false", &[]).unwrap().cli.config.secret.dev);
    }

    #[test]
    fn a_flag_also_overrules_what_it_excludes() {
        let secret =
            read("jwt-secret = 'the file'", &["--jwt-secret-file", "flag"]).unwrap().cli.config.secret;
        assert_eq!((secret.jwt_secret, secret.jwt_secret_file), (None, Some("flag".into())));
        let error = read("jwt-secret = 'a'\njwt-secret-file = 'b'", &[]).unwrap_err();
        assert!(error.contains("cannot be used with"), "{error}");
    }

    #[test]
    fn a_subcommand_takes_what_it_knows() {
        let cli =
            read("listen = '127.0.0.1:1'\njwt-secret = 'hush'", &["token", "--sub", "alice"]).unwrap().cli;
        let Some(super::super::Command::Token(token)) = cli.command else { panic!("another command") };
        assert_eq!((token.secret.jwt_secret.as_deref(), token.sub.as_str()), (Some("hush"), "alice"));
    }

    #[test]
    fn of_the_applications_that_are_served_a_token_is_for_one_that_is_asked_for() {
        let file = "jwt-secret = 'hush'\nnamespace = ['notes', 'mail']\nnamespace-claim = 'app'\n";
        let arguments = ["token", "--sub", "alice", "--namespace", "mail"];
        let Some(super::super::Command::Token(token)) = read(file, &arguments).unwrap().cli.command else {
            panic!("another command")
        };
        let claim = token.claims.namespace_claim.as_deref();
        assert_eq!((token.namespace.as_deref(), claim), (Some("mail"), Some("app")));
        assert_eq!(read(file, &[]).unwrap().cli.config.tokens.namespace, ["notes", "mail"]);
        assert!(read("namespace = 'a/b'", &[]).unwrap_err().contains("letters, digits"));
    }

    #[test]
    fn a_mistake_is_named_and_no_secret_is_quoted() {
        for (file, flags, said) in [
            ("drain-tine = '1s'", [].as_slice(), "drain-tine; is it drain-time?"),
            ("queue_messages = 1", &[], "is it queue-messages?"),
            ("config = 'other.toml'", &[], "no option config"),
            ("drain-time = 'soon'", &[], "--drain-time"),
            ("drain-time = ['1s']", &[], "drain-time cannot be array"),
            ("dev = 'yes'", &[], "dev cannot be string"),
            ("[limits]\nqueue-messages = 1", &[], "no option limits"),
            ("a = 1\njwt-secret = 'hush", &[], "line 2"),
        ] {
            let error = read(file, flags).unwrap_err();
            assert!(error.contains(said) && !error.contains("hush"), "{error}");
        }
        let missing = Invocation::read(["crsqlite-relay", "--config", "/nowhere/relay.toml"]).unwrap_err();
        assert!(missing.to_string().contains("/nowhere/relay.toml"));
    }

    #[test]
    fn what_is_effective_is_shown_with_its_source_without_secrets_and_can_be_read_again() {
        let file = "jwt-secret = 'hush'\nqueue-messages = 9\ndatabase = 'postgres://relay:hush@db/relay'\n";
        let shown = read(file, &["config", "--drain-time", "8s"]).unwrap().effective;
        for line in [
            "queue-messages = 9  # file",
            "drain-time = \"8s\"  # flag",
            "listen = \"127.0.0.1:8787\"  # default",
            "# jwt-secret is set (file)",
            "database = \"postgres://relay:…@db/relay\"  # file",
            "# static is not set",
            "dev = false  # default",
        ] {
            assert!(shown.lines().any(|found| found == line), "{line}\n{shown}");
        }
        assert!(!shown.contains("hush"), "{shown}");
        let again = read(&shown, &[]).unwrap().cli.config;
        assert_eq!((again.drain_time, again.limits.queue_messages), (Duration::from_secs(8), 9));
    }
}
