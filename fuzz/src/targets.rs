//! The targets. Each panics if something does not hold that always must.

mod objects;
mod patches;
mod request;
mod texts;

/// A parser and what always holds of it.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, which is that of its folder of seeds.
    pub name: &'static str,
    /// Runs it on an input. It panics if it has found something.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "json", run: objects::json },
    Target { name: "protobuf", run: objects::protobuf },
    Target { name: "fields_v1", run: objects::fields_v1 },
    Target { name: "json_patch", run: patches::json_patch },
    Target { name: "merge_patch", run: patches::merge_patch },
    Target { name: "strategic_merge_patch", run: patches::strategic_merge_patch },
    Target { name: "apply", run: patches::apply },
    Target { name: "label_selector", run: texts::label_selector },
    Target { name: "field_selector", run: texts::field_selector },
    Target { name: "quantity", run: texts::quantity },
    Target { name: "time", run: texts::time },
    Target { name: "json_path", run: texts::json_path },
    Target { name: "query", run: texts::query },
    Target { name: "accept", run: texts::accept },
    Target { name: "cel", run: texts::cel },
    Target { name: "request", run: request::request },
];

/// Splits an input at its first zero byte: two documents in one seed.
fn pair(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|byte| *byte == 0) {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &[]),
    }
}
