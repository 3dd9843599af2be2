//! The flags of kube-apiserver that say what is logged of requests, and how many there may be.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{ArgAction, Args};
use steersman_apiserver::audit::{Log, Policy};
use steersman_apiserver::flowcontrol;

use super::read;

/// Source: Kubernetes doc "kube-apiserver".
#[derive(Args, Debug)]
#[group(id = "requests")]
pub(crate) struct Flags {
    /// A Policy of audit.k8s.io/v1: of which requests how much is logged.
    #[arg(long, value_name = "FILE", requires = "audit_log_path")]
    audit_policy_file: Option<PathBuf>,
    /// Where to log requests, as lines of JSON; `-` is the standard output. What is there stays. Only the owner may read it.
    #[arg(long, value_name = "FILE", requires = "audit_policy_file")]
    audit_log_path: Option<PathBuf>,
    /// Whether requests are seated by API priority and fairness, so that one client cannot starve the others.
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true", num_args = 0..=1,
        require_equals = true, action = ArgAction::Set)]
    enable_priority_and_fairness: bool,
    /// The most requests at a time that change nothing; 0 for any number.
    #[arg(long, value_name = "N", default_value_t = 400)]
    max_requests_inflight: usize,
    /// The most requests at a time that change something; 0 for any number. With priority and fairness, both numbers
    /// together are the seats to be shared.
    #[arg(long, value_name = "N", default_value_t = 200)]
    max_mutating_requests_inflight: usize,
}

impl Flags {
    /// How many requests there may be.
    pub(super) fn flow_control(&self) -> flowcontrol::Options {
        flowcontrol::Options {
            priority_and_fairness: self.enable_priority_and_fairness,
            max_requests_inflight: self.max_requests_inflight,
            max_mutating_requests_inflight: self.max_mutating_requests_inflight,
        }
    }

    /// The log, if there is to be one.
    pub(super) fn audit_log(&self) -> Result<Option<Log>> {
        let (Some(policy), Some(path)) = (&self.audit_policy_file, &self.audit_log_path) else { return Ok(None) };
        let policy = Policy::from_yaml(&read(policy)?).with_context(|| policy.display().to_string())?;
        let writer: Box<dyn Write + Send> = match path.to_str() {
            Some("-") => Box::new(io::stdout()),
            _ => Box::new(open(path).with_context(|| format!("cannot write {}", path.display()))?),
        };
        Ok(Some(Log::new(policy, writer)))
    }
}

/// A file to append to that only its owner may read.
fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
