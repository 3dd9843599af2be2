//! The components on a cluster that is not this process: the one that `STEERSMAN_E2E_KUBECONFIG` names, with the chart
//! installed as release `steersman` in `steersman-system`; and, always, `steersman up` as a process of its own, over TLS, with
//! RBAC and exactly the chart's roles, the chart installed by helm and its components run from what it renders.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

#[path = "e2e_cluster/chaos.rs"]
mod chaos;
#[path = "e2e_cluster/given.rs"]
mod given;
#[path = "e2e_cluster/own.rs"]
mod own;
#[path = "e2e_cluster/scenarios.rs"]
mod scenarios;

use steersman_tests::stage::Programs;

/// The programs as this test has them.
const PROGRAMS: Programs = Programs {
    cluster: env!("CARGO_BIN_EXE_cluster_process"),
    controllers: env!("CARGO_BIN_EXE_controllers_process"),
    scheduler: env!("CARGO_BIN_EXE_scheduler_process"),
};
