//! Keeps the objects as they have to be, and what is seated by as the objects are.
//! Source: `k8s.io/kubernetes/pkg/registry/flowcontrol/ensurer`; `k8s.io/apiserver/pkg/util/flowcontrol` (`syncOne`).

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use steersman_machinery::clock::format_time;
use steersman_machinery::field::go_quote;
use steersman_machinery::meta;
use steersman_machinery::status::Status;

use super::{GROUP, bootstrap};
use crate::authentication::{SYSTEM_MASTERS, UserInfo};
use crate::handlers;
use crate::server::Server;

const SCHEMAS: &str = "flowschemas";
const LEVELS: &str = "prioritylevelconfigurations";
/// As whom upstream writes the objects, and their status.
const PRODUCER: &str = "api-priority-and-fairness-config-producer-v1";
const CONSUMER: &str = "api-priority-and-fairness-config-consumer-v1";

/// How long the objects are left alone before schemas tell of their levels. Upstream's controller, too, comes after who
/// made a schema, and whoever writes one several times in a row need not read a status in between.
const SETTLED: Duration = Duration::from_secs(1);

/// Makes the objects as they have to be when the server starts, and lets schemas tell of their levels.
pub(crate) async fn start(server: &Arc<Server>) -> Result<(), Status> {
    restore(server).await?;
    tell_all(server).await
}

/// Follows a write to the objects: makes what is missing, restores what must be so, and works with what there is. A moment
/// after the last one, schemas tell of their levels.
pub(crate) async fn maintain(server: &Arc<Server>) -> Result<(), Status> {
    restore(server).await?;
    if server.flow.is_fair() {
        let (turn, weak) = (server.flow.next_turn(), Arc::downgrade(server));
        server.spawn(async move {
            tokio::time::sleep(SETTLED).await;
            if let Some(server) = weak.upgrade().filter(|server| server.flow.is_turn(turn))
                && let Err(status) = tell_all(&server).await
            {
                tracing::warn!(%status, "flow schemas do not tell whether their levels exist");
            }
        });
    }
    Ok(())
}

/// Holds while it works, so that two writes do not overtake each other.
async fn restore(server: &Arc<Server>) -> Result<(), Status> {
    let _held = server.flow_maintenance.lock().await;
    for (resource, objects) in [(LEVELS, bootstrap::levels()), (SCHEMAS, bootstrap::schemas())] {
        for object in objects {
            ensure(server, resource, object).await?;
        }
    }
    let (schemas, levels) = (server.read_all(&stored(SCHEMAS)).await?, server.read_all(&stored(LEVELS)).await?);
    server.flow.configure(&schemas, &levels);
    Ok(())
}

async fn tell_all(server: &Arc<Server>) -> Result<(), Status> {
    if !server.flow.is_fair() {
        return Ok(());
    }
    let levels = server.read_all(&stored(LEVELS)).await?;
    for schema in server.read_all(&stored(SCHEMAS)).await? {
        tell(server, schema, &levels).await?;
    }
    Ok(())
}

fn stored(resource: &str) -> String {
    format!("{resource}.{GROUP}")
}

async fn ensure(server: &Arc<Server>, resource: &str, wanted: Value) -> Result<(), Status> {
    let name = meta::name(&wanted).to_owned();
    let Some(mut found) = server.read(&stored(resource), "", &name).await? else {
        return match write(server, Method::POST, (resource, PRODUCER), &wanted).await {
            Err(status) if status.is("AlreadyExists") => Ok(()),
            other => other,
        };
    };
    let kept = match meta::annotation(&found, bootstrap::AUTOUPDATE) {
        _ if bootstrap::MANDATORY.contains(&name.as_str()) => true,
        Some(kept) => kept == "true",
        // Somebody took the annotation away. Who changed the spec, too, wants to keep it.
        None => meta::generation(&found) == 1,
    };
    let annotation = json!(if kept { "true" } else { "false" });
    let annotated = meta::annotation(&found, bootstrap::AUTOUPDATE) == annotation.as_str();
    if annotated && (!kept || found.get("spec") == wanted.get("spec")) {
        return Ok(());
    }
    meta::set(&mut found, &["metadata", "annotations", bootstrap::AUTOUPDATE], annotation);
    if kept {
        meta::set(&mut found, &["spec"], wanted.get("spec").cloned().unwrap_or_default());
    }
    for field in ["apiVersion", "kind"] {
        meta::set(&mut found, &[field], wanted.get(field).cloned().unwrap_or_default());
    }
    write(server, Method::PUT, (&format!("{resource}/{name}"), PRODUCER), &found).await
}

/// Tells in the status of a schema whether its level exists.
async fn tell(server: &Arc<Server>, mut schema: Value, levels: &[Value]) -> Result<(), Status> {
    let level = meta::text(&schema, &["spec", "priorityLevelConfiguration", "name"]);
    let exists = levels.iter().any(|it| meta::name(it) == level);
    let references =
        format!("This FlowSchema references the PriorityLevelConfiguration object named {}", go_quote(level));
    let (status, reason, message) = match exists {
        true => ("False", "Found", format!("{references} and it exists")),
        false => ("True", "NotFound", format!("{references} but there is no such object")),
    };
    let conditions = meta::items(&schema, &["status", "conditions"]);
    let before = conditions.iter().find(|it| meta::text(it, &["type"]) == "Dangling");
    let same = |field: &str, value: &str| before.is_some_and(|before| meta::text(before, &[field]) == value);
    if same("status", status) && same("reason", reason) && same("message", &message) {
        return Ok(());
    }
    let since = before.filter(|_| same("status", status)).map(|it| meta::text(it, &["lastTransitionTime"]).to_owned());
    let condition = json!({
        "type": "Dangling", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": since.unwrap_or_else(|| format_time(server.clock.now())),
    });
    let others = conditions.iter().filter(|it| meta::text(it, &["type"]) != "Dangling").cloned();
    let conditions: Vec<Value> = others.chain([condition]).collect();
    meta::set(&mut schema, &["status", "conditions"], conditions);
    meta::set(&mut schema, &["apiVersion"], format!("{GROUP}/v1"));
    meta::set(&mut schema, &["kind"], "FlowSchema");
    let path = format!("{SCHEMAS}/{}/status", meta::name(&schema));
    match write(server, Method::PUT, (&path, CONSUMER), &schema).await {
        // It was changed or deleted meanwhile; whoever did that comes here next.
        Err(status) if status.code == 404 || status.code == 409 => Ok(()),
        other => other,
    }
}

async fn write(
    server: &Arc<Server>,
    method: Method,
    (place, manager): (&str, &str),
    object: &Value,
) -> Result<(), Status> {
    let user = UserInfo::known("system:apiserver", &[SYSTEM_MASTERS]);
    let path = format!("/apis/{GROUP}/v1/{place}?fieldManager={manager}");
    handlers::perform(server, user, (method, &path), object).await
}
