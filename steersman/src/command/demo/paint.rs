//! Colours, for a terminal only.

use std::io::IsTerminal;

/// Width of the column that says who did something: the longest name is `garbage-collector-controller`.
const WHO_WIDTH: usize = 23;

/// Paints, or does not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// Paints if standard output is a terminal and the user did not set `NO_COLOR`.
    pub(crate) fn for_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { on: std::io::stdout().is_terminal() && !refused }
    }

    /// A heading.
    pub(crate) fn title(self, text: &str) -> String {
        self.with("1", text)
    }

    /// Something that matters less.
    pub(crate) fn faint(self, text: &str) -> String {
        self.with("2", text)
    }

    /// What went well.
    pub(crate) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    /// What went wrong.
    pub(crate) fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    /// Somebody's name, in a column of its own and always in the same colour.
    pub(crate) fn who(self, name: &str) -> String {
        let colour = match name {
            "steersman-controllers" | "deployment-controller" => "34",
            "replicaset-controller" => "36",
            "default-scheduler" | "kube-scheduler" => "35",
            "kubelet" => "33",
            "apiserver" => "2",
            _ => "1",
        };
        self.with(colour, &format!("{name:<WHO_WIDTH$}"))
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_there_is_only_text() {
        assert_eq!(Paint { on: false }.who("kubelet"), format!("{:<23}", "kubelet"));
        assert_eq!(Paint { on: true }.good("x"), "\x1b[32mx\x1b[0m");
    }
}
