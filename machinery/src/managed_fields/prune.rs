//! What disappears from an object because its manager applies it no longer.

use serde_json::Value;

use crate::field_set::FieldSet;
use crate::patch::apply::{field_set, remove, with_parents};
use crate::schema::TypeRef;

/// `merged` without the fields and items that are in `last`, what the manager applied before, unless somebody owns them
/// now (`managed`, all managers' sets together, with the new one of this manager). An item goes with all that is in it,
/// unless something in it is owned or was not applied by this manager.
pub(super) fn prune(merged: &Value, last: &FieldSet, managed: &FieldSet, ty: TypeRef<'_>) -> Value {
    let set_of = |value: &Value| with_parents(&field_set(value, ty), Some(ty));
    let last = with_parents(last, Some(ty));
    let everything = set_of(merged);

    // Take away all that was applied, with what is in it; then put back what somebody owns …
    let without_last = remove(merged, &last, ty);
    let kept = set_of(&without_last).union(&with_parents(managed, Some(ty)));
    let owned = remove(merged, &everything.difference(&kept), ty);

    // … and what went along although this manager never applied it.
    let gone = everything.difference(&set_of(&owned)).intersection(&last);
    remove(merged, &gone, ty)
}
