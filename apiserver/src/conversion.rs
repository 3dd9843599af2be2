//! Objects from one version of a resource into another.

use std::sync::Arc;

use serde_json::Value;

use crate::object;
use crate::registry::resource::Resource;
use crate::server::Server;

/// The object, which is of the version `from`, in the version `to` of the same resource.
///
/// # Errors
/// Why it cannot be converted.
pub(crate) async fn convert(
    _server: &Arc<Server>,
    from: &Resource,
    to: &Resource,
    mut object: Value,
) -> Result<Value, String> {
    if from.version == to.version && from.group == to.group {
        return Ok(object);
    }
    from.strategy.to_stored(&mut object);
    object::set_type(&mut object, &to.api_version(), &to.kind);
    to.strategy.to_served(&mut object);
    Ok(object)
}
