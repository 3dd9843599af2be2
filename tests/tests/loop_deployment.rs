//! The Deployment controller against the API: every test of `k8s.io/kubernetes/test/integration/deployment` and
//! `k8s.io/kubernetes/test/e2e/apps/deployment.go`, under its name there.

mod loop_deployment {
    mod adoption;
    mod end_to_end;
    mod lifecycle;
    mod pausing;
    mod replacement;
    mod rolling;
    mod scaling;
    mod status;
}
