//! Where nobody answers at the site that was asked for all: one of those who waited searches on, the others wait for what it finds.
//!
//! Each of them searching by itself would ask every other surrogate as often as there are clients, just when one of them has failed.
//! What is found goes to all if it may be shared; if not, it is for the one who searched, and the others search by themselves.

use std::sync::Arc;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use flame_naming::Moment;

use super::super::fault::Fault;
use super::super::{Outgoing, Parties};
use super::status::Way;
use super::{TURNS, is_shared, silent, unanswered};
use crate::multicast::{self, Lead, Multicast, Nothing, Place, Searched, Shared, Sought};

impl Parties {
    /// Searches on where the outcome was `first`, once for all of this edge who wait for the same. The request came at `began`; whose
    /// own time is over is told so.
    pub(super) async fn search_for_all(
        &self,
        multicast: &Multicast,
        outgoing: &mut Outgoing,
        sought: Sought,
        (first, began): (Result<Response, Fault>, Moment),
    ) -> Result<Response, Fault> {
        // An answer is made for where its client sees it.
        let searched = (outgoing.forward.mount.prefix().to_owned(), sought);
        for _ in 0..TURNS {
            match multicast.search(searched.clone()) {
                Place::Lead(lead) => return self.search_first(multicast, outgoing, lead, (first, began)).await,
                Place::Follow(mut follow) => {
                    let deadline = outgoing.budget.deadline;
                    let told = tokio::select! {
                        told = follow.shared() => told,
                        _ = outgoing.offer.stalled(deadline) => return Err(silent(outgoing)),
                    };
                    match told {
                        Ok(shared) => return Ok(self.found(&shared, Way::COLLAPSED)),
                        Err(Nothing::Alone) => break,
                        Err(Nothing::Failed) => return Err(unanswered(outgoing)),
                        Err(Nothing::Leaderless) => {}
                    }
                }
            }
        }
        self.search_on(outgoing, first, began).await
    }

    async fn search_first(
        &self,
        multicast: &Multicast,
        outgoing: &mut Outgoing,
        lead: Lead<Searched, Arc<Shared>>,
        (first, began): (Result<Response, Fault>, Moment),
    ) -> Result<Response, Fault> {
        let found = match self.search_on(outgoing, first, began).await {
            Ok(found) => found,
            // Its own time is over; those who came later may have some left, and one of them searches.
            Err(fault @ Fault::Silent { .. }) => return Err(fault),
            Err(fault) => {
                lead.failed();
                return Err(fault);
            }
        };
        let (_, (_, identity)) = lead.key();
        let (status, headers) = (found.status(), found.headers());
        let room = is_shared(multicast, identity, status, headers).then(|| multicast.room_for(headers)).flatten();
        let Some(room) = room else {
            if is_failure(status) {
                lead.failed()
            } else {
                lead.alone()
            }
            return Ok(found);
        };
        let (parts, body) = found.into_parts();
        let head = multicast::head::Head::from(&parts);
        Ok(self.found(&multicast.spread(head, body, Some(lead), room), Way::ALONE))
    }

    /// What was found, as one of those sees it who waited.
    fn found(&self, shared: &Arc<Shared>, way: Way) -> Response {
        let mut answer = Response::new(Body::from_stream(multicast::read(Arc::clone(shared))));
        *answer.status_mut() = shared.head.status;
        *answer.headers_mut() = shared.head.headers.clone();
        self.say_way(answer.headers_mut(), way.searched());
        answer
    }
}

/// Whether a search that ends so has found nobody: it would end so for the others, too.
fn is_failure(status: StatusCode) -> bool {
    status.is_server_error()
}
