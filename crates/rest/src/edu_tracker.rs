//! `/edu-tracker`: how a user's learning goes.

use axum::{Json, Router, extract::State};
use careeros_shared::{
    Result,
    extract::{Path, UserContext},
    grpc::Transport,
    proto::edutracker::{
        GetLearningProgressRequest, GetLearningProgressResponse, edu_tracker_service_client::EduTrackerServiceClient,
    },
};

use crate::api::{Api, Area};

mod docs;

type Client = EduTrackerServiceClient<Transport>;

/// The routes with their documentation, answered by the edu-tracker service behind `transport`.
pub fn api(transport: Transport) -> Api {
    Area::new("Edu-tracker", docs::ABOUT, Client::new(transport))
        .get("/edu-tracker/progress/{user_id}", get_progress, docs::get_progress())
        .build()
}

/// The routes alone.
pub fn routes(transport: Transport) -> Router {
    api(transport).into_router()
}

async fn get_progress(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    Path(user_id): Path<String>,
) -> Result<Json<GetLearningProgressResponse>> {
    let request = GetLearningProgressRequest { meta: None, user_id };
    Ok(Json(client.get_learning_progress(context.request(request)).await?.into_inner()))
}
