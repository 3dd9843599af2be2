//! ServiceAccounts. Source: `k8s.io/kubernetes/pkg/registry/core/serviceaccount/strategy.go`.

use crate::registry::strategy::{Rules, Strategy};

/// The strategy of service accounts: secrets and pull secrets are free, no tokens are made.
#[derive(Clone, Copy, Debug)]
pub struct ServiceAccount;

impl Strategy for ServiceAccount {
    fn revalidates_metadata(&self) -> bool {
        true
    }

    fn rules(&self) -> Rules {
        Rules { returns_deleted_object: true, ..Rules::DEFAULT }
    }
}
