//! What admission sees of an update: the object, or what the subresource shows of it.

use serde_json::Value;
use steersman_machinery::status::Status;

use super::Change;
use crate::admission::Attributes;
use crate::handlers::scale;
use crate::registry::resource::Resource;

/// What admission is asked about.
pub(super) enum Admitted<'a> {
    /// The object itself.
    Object,
    /// Its scale; this is the present one.
    Scale(&'a Resource, Value),
}

impl<'a> Admitted<'a> {
    pub(super) fn of(resource: &'a Resource, how: &Change<'_>, live: &Value) -> Result<Self, Status> {
        Ok(match how.subresource {
            "scale" => Self::Scale(resource, scale::present(resource, live)?),
            _ => Self::Object,
        })
    }

    /// What is there before the update.
    pub(super) fn old<'b>(&'b self, live: &'b Value) -> &'b Value {
        if let Self::Scale(_, scale) = self { scale } else { live }
    }

    /// Lets admission change the object.
    pub(super) async fn admit(&self, attributes: &Attributes<'_>, new: &mut Value) -> Result<(), Status> {
        match self {
            Self::Object => attributes.server.admission.admit(attributes, new).await,
            Self::Scale(resource, _) => {
                let mut shown = scale::present(resource, new)?;
                attributes.server.admission.admit(attributes, &mut shown).await?;
                scale::take_over(resource, &shown, new)
            }
        }
    }

    /// Lets admission refuse the update.
    pub(super) async fn validate(&self, attributes: &Attributes<'_>, new: &Value) -> Result<(), Status> {
        match self {
            Self::Object => attributes.server.admission.validate(attributes, Some(new)).await,
            Self::Scale(resource, _) => {
                let shown = scale::present(resource, new)?;
                attributes.server.admission.validate(attributes, Some(&shown)).await
            }
        }
    }
}
