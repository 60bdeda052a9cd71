//! `/edu-tracker`: how a user's learning goes.

use axum::{Json, Router, extract::State, routing::get};
use careeros_shared::{
    Result,
    extract::{Path, UserContext},
    grpc::Transport,
    proto::edutracker::{
        GetLearningProgressRequest, GetLearningProgressResponse, edu_tracker_service_client::EduTrackerServiceClient,
    },
};

type Client = EduTrackerServiceClient<Transport>;

/// The routes, answered by the edu-tracker service behind `transport`.
pub fn routes(transport: Transport) -> Router {
    Router::new().route("/edu-tracker/progress/{user_id}", get(get_progress)).with_state(Client::new(transport))
}

async fn get_progress(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    Path(user_id): Path<String>,
) -> Result<Json<GetLearningProgressResponse>> {
    let request = GetLearningProgressRequest { meta: None, user_id };
    Ok(Json(client.get_learning_progress(context.request(request)).await?.into_inner()))
}
