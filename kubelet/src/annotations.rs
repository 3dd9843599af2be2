//! What a pod may say about how it is to be simulated.
//!
//! All of these can be changed while the pod runs. One that cannot be understood is ignored, with a warning.

use std::time::Duration;

use crate::duration;

/// `"false"` holds the containers unready until it is changed or removed: for holding a rollout.
pub const READY: &str = "steersman.dev/ready";

/// The code with which the pod's containers exit on their own, such as `"0"`. Without it they run until they are deleted.
pub const EXIT_CODE: &str = "steersman.dev/exit-code";

/// How long a container runs before it exits with [`EXIT_CODE`], such as `"1m30s"`; at once without it.
pub const EXIT_AFTER: &str = "steersman.dev/exit-after";

/// Overrides the delay from being bound to running for this pod, such as `"5s"`.
pub const START_DELAY: &str = "steersman.dev/start-delay";

/// Overrides the delay from running to ready for this pod, such as `"500ms"`.
pub const READY_DELAY: &str = "steersman.dev/ready-delay";

/// Overrides the delay from deletion to having stopped for this pod, such as `"20s"`.
pub const TERMINATION_DELAY: &str = "steersman.dev/termination-delay";

/// What the annotations of a pod say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) hold_unready: bool,
    pub(crate) exit: Option<Exit>,
    pub(crate) start_delay: Option<Duration>,
    pub(crate) ready_delay: Option<Duration>,
    pub(crate) termination_delay: Option<Duration>,
}

/// How containers end on their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) code: i32,
    pub(crate) after: Duration,
}

impl Script {
    /// Reads the annotations; `get` finds one by its name.
    pub(crate) fn parse<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Self {
        let delay = |name: &str| {
            let text = get(name)?;
            let delay = duration::parse(text);
            if delay.is_none() {
                tracing::warn!(annotation = name, value = text, "not a duration");
            }
            delay
        };
        let code = get(EXIT_CODE).and_then(|text| {
            let code = text.trim().parse().ok();
            if code.is_none() {
                tracing::warn!(annotation = EXIT_CODE, value = text, "not an exit code");
            }
            code
        });
        Self {
            hold_unready: get(READY) == Some("false"),
            exit: code.map(|code| Exit { code, after: delay(EXIT_AFTER).unwrap_or_default() }),
            start_delay: delay(START_DELAY),
            ready_delay: delay(READY_DELAY),
            termination_delay: delay(TERMINATION_DELAY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(annotations: &[(&'static str, &'static str)]) -> Script {
        let annotations = annotations.to_vec();
        Script::parse(|wanted| annotations.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value))
    }

    #[test]
    fn annotations_say_how_a_pod_behaves() {
        assert_eq!(parse(&[]), Script::default());
        assert!(parse(&[(READY, "false")]).hold_unready);
        assert!(!parse(&[(READY, "true")]).hold_unready);
        let exit = |code, after| Some(Exit { code, after });
        assert_eq!(parse(&[(EXIT_CODE, "3")]).exit, exit(3, Duration::ZERO));
        let later = parse(&[(EXIT_CODE, "0"), (EXIT_AFTER, "1m30s")]);
        assert_eq!(later.exit, exit(0, Duration::from_secs(90)));
        assert_eq!(parse(&[(EXIT_AFTER, "1s")]).exit, None);
        assert_eq!(parse(&[(EXIT_CODE, "soon")]).exit, None);
        let delays = parse(&[(START_DELAY, "5s"), (READY_DELAY, "x"), (TERMINATION_DELAY, "20s")]);
        assert_eq!(delays.start_delay, Some(Duration::from_secs(5)));
        assert_eq!(delays.ready_delay, None);
        assert_eq!(delays.termination_delay, Some(Duration::from_secs(20)));
    }
}
