//! Controllers that need what only the API server has, its keys and its schemas, and so run where it does.

mod policy_status;
mod token_cleaner;
mod token_secrets;

use steersman_apiserver::ApiServer;
use steersman_framework::api::Api;
use steersman_framework::controller::Outcome;
use steersman_framework::informer::Informers;
use steersman_framework::runtime::Context;

pub(crate) use token_secrets::TokenSecrets;

use policy_status::PolicyStatus;

/// What a controller works with, and what comes of its work.
type Synced = kube::Result<Outcome>;

/// Tells in the status of validating admission policies what is wrong with their types, until shutdown.
pub(crate) async fn policy_status(context: Context, api_server: ApiServer) -> Result<(), kube::Error> {
    let informers = informers(&context);
    let controller = PolicyStatus::new(&context, &informers, api_server);
    let shutdown = context.shutdown.clone();
    futures::join!(controller.run(shutdown), informers.run());
    Ok(())
}

/// Fills in secrets with tokens of service accounts, and deletes those of accounts that are gone and those that nobody uses, until
/// shutdown.
pub(crate) async fn token_secrets(context: Context, with: TokenSecrets) -> Result<(), kube::Error> {
    let informers = informers(&context);
    let shutdown = context.shutdown.clone();
    let running = with.run(&context, &informers, shutdown);
    futures::join!(running, informers.run(), token_cleaner::run(&context));
    Ok(())
}

fn informers(context: &Context) -> Informers {
    let informers = Informers::new(Api::new(context.client.clone(), "steersman"), context.shutdown.clone());
    informers.tell(&context.health);
    informers
}
