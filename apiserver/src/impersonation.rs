//! Acting as somebody else: the headers `Impersonate-*`, and whether their sender may.
//! Source: Kubernetes doc "User impersonation", KEP-5284 (constrained impersonation);
//! `k8s.io/apiserver/pkg/endpoints/filters/impersonation`.

mod headers;
mod mode;

use std::collections::HashMap;

use parking_lot::Mutex;
use steersman_machinery::status::Status;

use crate::authentication::UserInfo;
use crate::authorization::Attributes;
use crate::service::Call;

use self::mode::Mode;

/// Of how many users it is remembered in which mode they act as others. It only decides which mode is tried first, and
/// thereby which refusal is told.
const REMEMBERED_MAX: usize = 10_000;

/// In which mode each user acted as somebody else last.
#[derive(Debug, Default)]
pub(crate) struct Modes(Mutex<HashMap<String, Mode>>);

impl Modes {
    fn last(&self, user: &UserInfo) -> Option<Mode> {
        self.0.lock().get(&user.name).copied()
    }

    fn remember(&self, user: &UserInfo, mode: Mode) {
        let mut known = self.0.lock();
        if known.len() == REMEMBERED_MAX {
            known.clear();
        }
        known.insert(user.name.clone(), mode);
    }
}

/// The stage of a request between authentication and authorization: from here on it is done as the user that its headers
/// name, if its sender may act as that one. The headers are gone afterwards.
pub(crate) async fn act(call: &mut Call) -> Result<(), Status> {
    let Some(wanted) = headers::take(&mut call.headers)? else {
        return Ok(());
    };
    let user = impersonate(call, &wanted).await?;
    call.trail.impersonated(&user);
    call.user = user;
    Ok(())
}

async fn impersonate(call: &Call, wanted: &UserInfo) -> Result<UserInfo, Status> {
    let view = call.server.authorizer.view(&*call.server.store).await?;
    let attributes = Attributes::of(&call.user, &call.info);
    let modes = &call.server.impersonation;
    let last = modes.last(&call.user);
    let others = Mode::ALL.into_iter().filter(|mode| Some(*mode) != last);
    let mut refusal = None;
    for mode in last.into_iter().chain(others) {
        let mut needed = vec![];
        match mode.check(&view, &attributes, wanted, &mut needed) {
            Ok(Some(user)) => {
                modes.remember(&call.user, mode);
                needed.into_iter().for_each(|info| call.trail.needed(&call.user, || info));
                return Ok(user);
            }
            Ok(None) => {}
            Err(status) => drop(refusal.get_or_insert(status)),
        }
    }
    Err(refusal.unwrap_or_else(|| Status::internal("all impersonation modes failed")))
}

#[cfg(test)]
mod tests;
