//! `kubectl create KIND`, which sends typed objects in protobuf, and the commands that ask who one is.

use steersman_tests::kubectl::Kubectl;

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn typed_objects_are_created() {
    let kubectl = Kubectl::start().await;
    let check = async |command: &str, made: &str| {
        assert_eq!(kubectl.ok(&format!("create {command}")).await, format!("{made} created\n"));
    };
    check("namespace shop", "namespace/shop").await;
    check("configmap c --from-literal=a=b -n shop", "configmap/c").await;
    check("secret generic s --from-literal=p=q -n shop", "secret/s").await;
    check("serviceaccount sa -n shop", "serviceaccount/sa").await;
    check("service nodeport svc --tcp=80:web --node-port=30080 -n shop", "service/svc").await;
    check("deployment web --image=nginx --replicas=2 --port=80 -n shop", "deployment.apps/web").await;
    check("job j --image=busybox -n shop -- date", "job.batch/j").await;
    check("cronjob cj --image=busybox --schedule=@daily -n shop", "cronjob.batch/cj").await;
    check("role r --verb=get --resource=pods -n shop", "role.rbac.authorization.k8s.io/r").await;
    check("quota q --hard=pods=3,requests.cpu=500m -n shop", "resourcequota/q").await;
    check("pdb p --selector=app=web --min-available=50% -n shop", "poddisruptionbudget.policy/p").await;
    check("ingress i --rule=foo/bar=svc:80 -n shop", "ingress.networking.k8s.io/i").await;
    check("priorityclass high --value=10", "priorityclass.scheduling.k8s.io/high").await;
    let read = async |what: &str, path: &str| kubectl.ok(&format!("get {what} -n shop -o jsonpath={{{path}}}")).await;
    assert_eq!(read("configmap c", ".data").await, r#"{"a":"b"}"#);
    assert_eq!(read("secret s", ".data").await, r#"{"p":"cQ=="}"#);
    assert_eq!(read("service svc", ".spec.ports[0].targetPort").await, "web");
    assert_eq!(read("service svc", ".spec.ports[0].nodePort").await, "30080");
    assert_eq!(read("deployment web", ".spec.replicas").await, "2");
    assert_eq!(read("deployment web", ".metadata.labels").await, r#"{"app":"web"}"#);
    assert_eq!(read("quota q", ".spec.hard").await, r#"{"pods":"3","requests.cpu":"500m"}"#);
    assert_eq!(read("pdb p", ".spec.minAvailable").await, "50%");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn one_may_ask_who_one_is_and_what_one_may() {
    let kubectl = Kubectl::start().await;
    assert_eq!(kubectl.ok("auth can-i create pods").await, "yes\n");
    assert!(kubectl.ok("auth whoami").await.contains("kubernetes-admin"));
}
