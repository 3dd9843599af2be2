//! A webhook server as a user writes one: a process of its own that speaks TLS. It takes the paths of its certificate and
//! its key, listens at a free port of this machine, and prints which. If it is given besides where a service account's files
//! are and the URL of the API, it asks the API as that account: it takes a lease, and lets pass what was exempted.

use std::convert::Infallible;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use kube::Client;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

mod account;

type Body = BoxBody<Bytes, Infallible>;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [certificate, key, api @ ..] = &arguments[..] else {
        unreachable!("the paths of a certificate and of its key")
    };
    let chain = vec![CertificateDer::from_pem_file(certificate).expect("a certificate in PEM")];
    let key = PrivateKeyDer::from_pem_file(key).expect("a key in PEM");
    let api = match api {
        [folder, url] => Some(account::connect(Path::new(folder), url).await),
        _ => None,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("ring knows TLS").with_no_client_auth().with_single_cert(chain, key);
    let acceptor = TlsAcceptor::from(Arc::new(config.expect("the key is that of the certificate")));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let port = listener.local_addr().expect("it listens").port();
    writeln!(std::io::stdout(), "{port}").expect("somebody reads it");
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (acceptor, api) = (acceptor.clone(), api.clone());
        tokio::spawn(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                let server = hyper::server::conn::http1::Builder::new();
                let service = service_fn(|request| answer(request, api.as_ref()));
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            }
        });
    }
}

async fn answer(request: Request<Incoming>, api: Option<&Client>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    Ok(match path.as_str() {
        "/mutate" => reply(&review, mutate(&review["request"])),
        "/validate" => match account::exempted(api, &review["request"]).await {
            Ok(exempted) => reply(&review, validate(&review["request"], &exempted)),
            Err(error) => reply(&review, json!({"allowed": false, "status": {"message": error.to_string()}})),
        },
        "/convert" => reply(&review, convert(&review["request"])),
        "/garbage" => Response::new(Full::new(Bytes::from("<html>")).boxed()),
        "/hang" => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Response::new(Full::default().boxed())
        }
        "/outside" => reply(&review, patch(&json!([{"op": "add", "path": "/../../../x", "value": 1}]))),
        "/rename" => {
            reply(&review, patch(&json!([{"op": "replace", "path": "/metadata/namespace", "value": "kube-system"}])))
        }
        "/other-uid" => {
            let response = json!({"uid": "another", "allowed": true});
            reply(&json!({"kind": review["kind"], "apiVersion": review["apiVersion"]}), response)
        }
        "/huge" => {
            let block = Bytes::from(vec![b' '; 64 * 1024]);
            let endless = futures::stream::repeat_with(move || Ok(Frame::data(block.clone())));
            Response::new(BodyExt::boxed(StreamBody::new(endless)))
        }
        "/redirect" => {
            let response = Response::builder().status(307).header("Location", "/validate");
            response.body(Full::default().boxed()).expect("these are valid headers")
        }
        _ => Response::builder().status(404).body(Full::default().boxed()).expect("this is a valid status"),
    })
}

/// The review with a response, which has the uid of the request unless it has one already.
fn reply(review: &Value, mut response: Value) -> Response<Body> {
    if response["uid"].is_null() {
        response["uid"] = review["request"]["uid"].clone();
    }
    let answer = json!({"kind": review["kind"], "apiVersion": review["apiVersion"], "response": response});
    Response::new(Full::new(Bytes::from(answer.to_string())).boxed())
}

fn patch(operations: &Value) -> Value {
    json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(operations.to_string())})
}

/// Every workload gets a label, and containers a pull policy.
fn mutate(request: &Value) -> Value {
    let mut operations = vec![];
    if request["object"]["metadata"]["labels"].is_null() {
        operations.push(json!({"op": "add", "path": "/metadata/labels", "value": {}}));
    }
    operations.push(json!({"op": "add", "path": "/metadata/labels/policy.example.com~1seen", "value": "true"}));
    patch(&json!(operations))
}

/// Images must have a fixed version unless they are exempted; whoever asks for no memory is warned.
fn validate(request: &Value, exempted: &[String]) -> Value {
    let containers =
        request["object"]["spec"]["template"]["spec"]["containers"].as_array().cloned().unwrap_or_default();
    let is_latest = |image: &str| image.ends_with(":latest") && !exempted.iter().any(|it| image.starts_with(it));
    let latest = containers.iter().find(|it| it["image"].as_str().is_none_or(is_latest));
    if let Some(container) = latest {
        let message = format!("container {} has no fixed version", container["name"]);
        return json!({"allowed": false, "status": {"code": 403, "message": message}});
    }
    let careless = containers.iter().any(|it| it["resources"]["requests"]["memory"].is_null());
    let warnings: &[&str] = if careless { &["a container asks for no memory"] } else { &[] };
    json!({"allowed": true, "warnings": warnings})
}

/// `hostPort` of v1 is `host` and `port` of v2.
fn convert(request: &Value) -> Value {
    let version = request["desiredAPIVersion"].as_str().unwrap_or_default();
    let objects = request["objects"].as_array().cloned().unwrap_or_default();
    let converted: Vec<Value> = objects
        .into_iter()
        .map(|mut object| {
            let spec = object["spec"].take();
            let text = |field: &str| spec[field].as_str().unwrap_or_default().to_owned();
            object["spec"] = match text("hostPort").split_once(':') {
                Some((host, port)) => json!({"host": host, "port": port}),
                None => json!({"hostPort": format!("{}:{}", text("host"), text("port"))}),
            };
            object["apiVersion"] = json!(version);
            object
        })
        .collect();
    json!({"result": {"status": "Success"}, "convertedObjects": converted})
}
