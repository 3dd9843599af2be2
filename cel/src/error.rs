//! What can be wrong with an expression, before and while it runs.

/// An expression that does not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CompileError {
    /// All findings as cel-go prints them: `ERROR: <input>:1:5: undefined field 'x'`, the line and a caret under it.
    pub message: String,
}

/// An expression that ran into an error. `Display` gives cel-go's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// A value did not have what was asked of it: `no such key: x`, `division by zero`.
    #[error("{0}")]
    Failed(String),
    /// An operator or function has no overload for the values it was given.
    #[error("no such overload")]
    NoSuchOverload,
    /// The machine has no thread left for an expression that nests deeply.
    #[error("no room to evaluate a deeply nested expression")]
    NoRoom,
    /// The expression did more than one evaluation may do ([`crate::PER_CALL_LIMIT`]).
    #[error("operation cancelled: actual cost limit exceeded")]
    CallLimitExceeded,
    /// What is left of the budget that several expressions share did not suffice.
    #[error("validation failed due to running out of cost budget, no further validation rules will be run")]
    BudgetExceeded,
}

impl EvaluationError {
    /// An error of that text.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }
}

/// A finding in the source: where (in characters from the start) and what.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) offset: usize,
    pub(crate) message: String,
}

impl CompileError {
    /// Findings in the order of the source.
    pub(crate) fn new(source: &str, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| finding.offset);
        let shown: Vec<String> = findings.iter().take(MAX_FINDINGS).map(|it| display(source, it)).collect();
        let mut message = shown.join("\n");
        if findings.len() > MAX_FINDINGS {
            message.push_str(&format!("\n{} more errors were truncated", findings.len() - MAX_FINDINGS));
        }
        Self { message }
    }
}

/// cel-go's limit on errors that are reported.
const MAX_FINDINGS: usize = 100;

fn display(source: &str, finding: &Finding) -> String {
    let mut line_number = 1;
    let mut column = finding.offset;
    let mut line = "";
    for (index, text) in source.split('\n').enumerate() {
        let length = text.chars().count();
        line_number = index + 1;
        line = text;
        if column <= length {
            break;
        }
        column -= length + 1;
    }
    let mut marks = String::new();
    let mut characters = line.chars();
    for _ in 0..column {
        let Some(character) = characters.next() else { break };
        // Wide characters get wide marks, so that the caret stands below its place.
        marks.push(if character.is_ascii() { '.' } else { '\u{ff0e}' });
    }
    marks.push(if characters.next().is_none_or(|it| it.is_ascii()) { '^' } else { '\u{ff3e}' });
    let line = line.replace('\t', " ");
    format!("ERROR: <input>:{line_number}:{}: {}\n | {line}\n | {marks}", column + 1, finding.message)
}
