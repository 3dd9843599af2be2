//! The log of a component: lines for people, or objects for programs.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};
use steersman_machinery::clock::Clock;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use super::flags::{LogFlags, LogFormat};
use crate::clock::SystemClock;

/// Logs to the standard error from now on. The first of these calls in a process counts.
///
/// # Errors
/// If the filter is not valid.
pub(super) fn init(flags: &LogFlags) -> Result<()> {
    let filter = filter(flags)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Fails only if there is a log already.
    let _ = match flags.log_format {
        LogFormat::Text => tracing::subscriber::set_global_default(
            builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).finish(),
        ),
        LogFormat::Json => tracing::subscriber::set_global_default(builder.event_format(Json).finish()),
    };
    Ok(())
}

/// Logs as [`init`] does, and gathers spans besides.
///
/// # Errors
/// If the filter is not valid.
#[cfg(feature = "otlp")]
pub(super) fn init_traced(flags: &LogFlags, spans: crate::otlp::Spans) -> Result<()> {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::layer::{Layer, SubscriberExt};

    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match flags.log_format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        LogFormat::Json => lines.event_format(Json).boxed(),
    };
    // What the framework and its components do, and of others what they think is worth to be told.
    let told = Targets::new().with_default(LevelFilter::INFO).with_target("steersman", LevelFilter::DEBUG);
    let registry = tracing_subscriber::registry().with(lines.with_filter(filter(flags)?)).with(spans.with_filter(told));
    let _ = tracing::subscriber::set_global_default(registry);
    Ok(())
}

fn filter(flags: &LogFlags) -> Result<EnvFilter> {
    let text = match (&flags.log_level, flags.verbosity) {
        (Some(level), _) => level,
        (None, 0..=3) => "info",
        (None, 4..=5) => "info,steersman_framework=debug,steersman_controllers=debug,steersman_scheduler_plugin=debug",
        (None, 6..=8) => "debug",
        (None, _) => "trace",
    };
    EnvFilter::try_new(text).with_context(|| format!("--log-level: {text:?} is not a filter"))
}

/// An object a line. Source: Kubernetes doc "System Logs" (JSON log format).
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let object = object(fields, *event.metadata().level(), event.metadata().target(), SystemClock.now());
        writeln!(writer, "{object}")
    }
}

fn object(fields: Fields, level: Level, target: &str, now: jiff::Timestamp) -> Value {
    let mut object = Map::new();
    let milliseconds = now.as_microsecond() as f64 / 1000.0;
    object.insert("ts".to_owned(), json!(milliseconds));
    object.insert("caller".to_owned(), json!(target));
    object.insert("msg".to_owned(), json!(fields.message));
    let verbosity = match level {
        Level::ERROR | Level::WARN | Level::INFO => 0,
        Level::DEBUG => 4,
        Level::TRACE => 6,
    };
    object.insert("level".to_owned(), json!(level.as_str().to_ascii_lowercase()));
    if level != Level::ERROR {
        object.insert("v".to_owned(), json!(verbosity));
    }
    for (name, value) in fields.others {
        let name = if name == "error" { "err" } else { name };
        object.insert(name.to_owned(), value);
    }
    Value::Object(object)
}

#[derive(Default)]
struct Fields {
    message: String,
    others: BTreeMap<&'static str, Value>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        self.others.insert(field.name(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.add(field, text.into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.add(field, value.into());
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_its_reason_and_no_verbosity() {
        let others = BTreeMap::from([("error", json!("no")), ("count", json!(3))]);
        let now = "2026-05-01T10:00:00.25Z".parse().unwrap();
        let fields = || Fields { message: "it failed".to_owned(), others: others.clone() };
        let expect = json!({"ts": 1_777_629_600_250.0, "caller": "here", "level": "error", "msg": "it failed", "err": "no", "count": 3});
        assert_eq!(object(fields(), Level::ERROR, "here", now), expect);
        assert_eq!(object(fields(), Level::DEBUG, "here", now)["v"], 4);
    }

    #[test]
    fn a_filter_counts_more_than_the_verbosity() {
        let flags = |verbosity, level: Option<&str>| LogFlags {
            verbosity,
            log_level: level.map(str::to_owned),
            ..LogFlags::default()
        };
        assert_eq!(filter(&flags(9, Some("warn"))).unwrap().to_string(), "warn");
        assert_eq!(filter(&flags(0, None)).unwrap().to_string(), "info");
        assert!(filter(&flags(0, Some("a=b=c"))).is_err());
    }
}
