//! A plugin: pods go to cheap nodes. `docs/guide/scheduler-plugin.md` builds it step by step.

use steersman_scheduler_plugin::prelude::*;

/// What a node costs an hour, in cents.
const PRICE: &str = "example.com/cents-per-hour";

/// Prefers nodes with a low price in their label `example.com/cents-per-hour`. Who does not say it costs 100.
pub struct CheapestNode;

impl Plugin for CheapestNode {
    fn name(&self) -> &'static str {
        "CheapestNode"
    }
    fn as_score(&self) -> Option<&dyn ScorePlugin> {
        Some(self)
    }
}

impl ScorePlugin for CheapestNode {
    fn score(&self, _: &CycleState, _: &Pod, node: NodeRef<'_>) -> Result<i64, Status> {
        let cents: i64 = node.label(PRICE).and_then(|cents| cents.parse().ok()).unwrap_or(MAX_NODE_SCORE);
        Ok(MAX_NODE_SCORE - cents.clamp(0, MAX_NODE_SCORE))
    }
}

/// The plugins of this scheduler.
pub fn plugins() -> Registry {
    let mut plugins = Registry::new();
    plugins.add(CheapestNode);
    plugins
}
