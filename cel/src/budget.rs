//! What evaluation may cost.

use crate::error::EvaluationError;

/// What one evaluation of one expression may cost. Source: `k8s.io/apiserver/pkg/apis/cel`, `PerCallLimit`.
pub const PER_CALL_LIMIT: u64 = 1_000_000;

/// What all the expressions about one object may cost together. Source: the same, `RuntimeCELCostBudget`.
pub const PER_OBJECT_LIMIT: u64 = 10_000_000;

/// What is left for a number of evaluations.
#[derive(Clone, Debug)]
pub struct Budget {
    left: u64,
    call_limit: u64,
    call: u64,
    last: u64,
}

impl Budget {
    /// That much, shared by all evaluations that are given it; each may use [`PER_CALL_LIMIT`] of it.
    pub fn new(total: u64) -> Self {
        Self { left: total, call_limit: PER_CALL_LIMIT, call: 0, last: 0 }
    }

    /// The budget of all the rules about one object.
    pub fn per_object() -> Self {
        Self::new(PER_OBJECT_LIMIT)
    }

    /// What is left.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// What the last evaluation cost.
    pub fn last_cost(&self) -> u64 {
        self.last
    }

    /// Pays for something that was done outside an evaluation.
    pub fn pay(&mut self, cost: u64) -> Result<(), EvaluationError> {
        match self.left.checked_sub(cost) {
            Some(left) => self.left = left,
            None => {
                self.left = 0;
                return Err(EvaluationError::BudgetExceeded);
            }
        }
        Ok(())
    }

    /// Begins an evaluation; gives back what the one around it has cost so far.
    pub(crate) fn begin(&mut self) -> u64 {
        std::mem::take(&mut self.call)
    }

    /// Ends an evaluation: pays for it and goes on with the one around it.
    pub(crate) fn finish(&mut self, outer: u64) -> Result<(), EvaluationError> {
        self.last = std::mem::replace(&mut self.call, outer);
        self.pay(self.last)
    }

    /// Charges the running evaluation.
    pub(crate) fn charge(&mut self, cost: u64) -> Result<(), EvaluationError> {
        self.call = self.call.saturating_add(cost);
        if self.call > self.call_limit {
            return Err(EvaluationError::CallLimitExceeded);
        }
        Ok(())
    }
}
