//! `exec`, `attach` and `portforward`: simulated nodes run nothing, and say so in a way that clients understand.
//! Source: KEP-4006; `k8s.io/kubelet/pkg/cri/streaming/remotecommand`.

use std::time::Duration;

use http::header;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use steersman_machinery::meta;
use steersman_machinery::status::Status;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::websocket;
use crate::handlers::Answer;
use crate::service::Call;

/// The protocols that are spoken, in both of which the numbers of the channels are the same.
const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
/// The channel of what a command complains about.
const STDERR: u8 = 2;
/// The channel on which the end is told.
const ERROR: u8 = 3;
/// The code with which shells say that a command cannot be executed.
const EXIT_CODE: u8 = 126;
/// How long a client may take to hang up after the end.
const LINGER: Duration = Duration::from_secs(5);

/// Runs a command in a container, or attaches to one.
pub(super) async fn run(call: &mut Call, options: &Value) -> Answer {
    let pod = super::pod(&call.server, &call.info.namespace, &call.info.name).await?;
    super::container(&pod, meta::text(options, &["container"]))?;
    let node = node(&pod)?.to_owned();
    if !websocket::is_wanted(&call.headers) {
        return Err(not_upgraded(call));
    }
    let Some(connection) = call.upgrade.take() else { return Err(not_upgraded(call)) };
    let response = websocket::accept(&call.headers, websocket::protocol(&call.headers, &PROTOCOLS));
    let verb = &call.info.subresource;
    let complaint = format!("{verb}: node {node} is simulated: nothing runs in its containers\n");
    let messages = [
        websocket::message(STDERR, complaint.as_bytes()),
        websocket::message(ERROR, status().to_string().as_bytes()),
        websocket::close(),
    ];
    call.server.spawn(async move {
        let Ok(connection) = connection.await else { return };
        let mut connection = TokioIo::new(connection);
        if connection.write_all(&messages.concat()).await.is_ok() && connection.flush().await.is_ok() {
            // What the client sends meanwhile is read, else the end might not reach it.
            let drain = async { while connection.read(&mut [0; 4096]).await.is_ok_and(|count| count > 0) {} };
            let _ = tokio::time::timeout(LINGER, drain).await;
        }
    });
    Ok(response)
}

/// How the end of a command that failed is told.
fn status() -> Value {
    json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: exit code {EXIT_CODE}"),
        "details": {"causes": [{"reason": "ExitCode", "message": EXIT_CODE.to_string()}]},
    })
}

/// Forwards ports of a pod.
pub(super) async fn port_forward(call: &mut Call) -> Answer {
    let pod = super::pod(&call.server, &call.info.namespace, &call.info.name).await?;
    let node = node(&pod)?;
    if !call.headers.contains_key(header::UPGRADE) {
        return Err(not_upgraded(call));
    }
    Err(Status::untyped(format!("error dialing backend: node {node} is simulated: nothing listens in its pods")))
}

fn node(pod: &Value) -> Result<&str, Status> {
    match meta::text(pod, &["spec", "nodeName"]) {
        "" => Err(Status::bad_request(format!("pod {} does not have a host assigned", meta::name(pod)))),
        node => Ok(node),
    }
}

fn not_upgraded(call: &Call) -> Status {
    match call.headers.get(header::UPGRADE) {
        Some(protocol) => {
            let protocol = protocol.to_str().unwrap_or_default();
            Status::bad_request(format!("unable to upgrade: {protocol} is not spoken here, WebSocket is"))
        }
        None => Status::bad_request("Upgrade request required"),
    }
}
