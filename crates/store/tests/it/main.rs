//! The conformance suite of the store: facts about the port, written against `dyn Store`, one file per noun, that every
//! backend has to satisfy; and beside them what only a backend in a file can be asked.
//!
//! A fact takes a [`bench::Bench`] with a fresh store. It is listed once in [`conformance`] and runs on every backend, and
//! when it has held the audit must find nothing; a fact that is not listed is dead code, which the build refuses.

#![expect(clippy::unwrap_used, reason = "a fact that does not hold ends its test")]

mod attempts;
mod audit;
mod auth_sessions;
mod bench;
mod deployments;
mod files;
mod history;
mod key_values;
mod keys;
mod leases;
mod operations;
mod pooler;
mod postgres;
mod postgres_server;
mod projects;
mod runs_accept;
mod runs_cancel;
mod runs_claim;
mod runs_commit;
mod secrets;
mod signals;
mod sqlite;
mod wire;
mod workers;

/// Makes a test of every fact for every backend.
macro_rules! conformance {
    ($($noun:ident: $($fact:ident),+ $(,)?;)+) => {
        mod on_sqlite {
            $(mod $noun {
                $(#[tokio::test]
                async fn $fact() {
                    let bench = crate::sqlite::bench().await;
                    crate::$noun::$fact(&bench).await;
                    bench.expect_sound().await;
                })+
            })+
        }
        mod on_postgres {
            $(mod $noun {
                $(#[tokio::test]
                async fn $fact() {
                    let bench = crate::postgres::bench().await;
                    crate::$noun::$fact(&bench).await;
                    bench.expect_sound().await;
                })+
            })+
        }
    };
}

conformance! {
    attempts: attempts_are_listed_in_order_with_how_they_ended, a_log_and_a_trace_are_filed_later,
        another_log_takes_the_place_of_the_first, a_pending_trace_is_stored_or_dropped;
    audit: each_planted_damage_is_found, no_more_is_said_than_asked_for;
    auth_sessions: a_first_login_is_pending_then_ready, an_update_changes_nothing_until_it_succeeds,
        a_failed_update_leaves_the_session_as_it_was, a_failed_first_login_leaves_an_expired_session,
        a_create_of_an_existing_name_replaces_everything, a_login_under_way_is_shown_as_pending,
        a_failed_recreate_ends_expired, a_passing_check_makes_it_ready_again, a_deleted_session_is_gone_with_its_secrets,
        nothing_is_kept_for_a_deleted_session, a_runtime_input_lives_as_long_as_its_run, an_ephemeral_session_ends_with_its_run,
        a_session_nobody_will_log_in_is_not_pending, sessions_are_listed_by_name;
    deployments: an_upload_waits_for_its_build, a_finished_build_is_active, a_refused_build_leaves_the_active_one,
        a_build_ends_once, a_build_has_one_builder, a_build_of_a_lost_worker_waits_again,
        a_build_goes_to_a_worker_with_the_projects_labels, an_older_upload_never_replaces_a_later_one, a_ready_deployment_can_be_activated_again,
        switching_access_off_cancels_api_runs, deployments_are_listed_newest_first;
    files: a_file_is_found_by_its_id;
    history: a_run_remembers_every_step, nothing_goes_before_its_time, an_old_run_goes_with_all_that_is_its,
        an_unfinished_run_and_one_with_a_pending_trace_stay, each_kind_of_artifact_has_its_own_age,
        a_project_keeps_no_more_bytes_than_its_share, history_goes_in_batches, garbage_is_there_until_it_is_forgotten,
        dead_workers_are_forgotten_with_the_runs_of_their_time, an_attempt_outlives_its_worker;
    key_values: the_last_writer_wins, projects_do_not_share_values;
    keys: the_first_workspace_is_made_once, a_key_opens_until_it_is_revoked, keys_are_listed_oldest_first;
    leases: a_seat_is_kept_by_whoever_renews_it, a_seat_that_lapsed_is_anybodys_under_a_new_epoch,
        a_seat_is_given_back_by_its_holder_only, a_seat_goes_with_its_worker;
    operations: an_operation_stands_where_its_run_stands;
    projects: a_project_has_no_active_deployment_before_one_is_ready, projects_are_listed_by_name;
    runs_accept: a_claim_brings_back_all_that_was_accepted, a_repeated_request_is_the_first_one,
        an_unknown_session_is_refused, a_runtime_input_for_a_stored_login_is_refused, a_project_of_another_workspace_is_refused;
    runs_claim: a_projects_runs_are_taken_oldest_first, projects_take_turns, a_worker_takes_what_it_has_room_for,
        a_run_goes_to_a_worker_with_its_projects_labels, a_worker_that_was_given_up_takes_nothing,
        a_line_for_a_session_moves_on, a_line_for_an_ephemeral_session_outlives_it, a_project_never_exceeds_its_concurrency, one_session_has_one_owner,
        a_run_in_its_api_stage_lets_the_next_one_in, two_claimers_never_own_the_same_run, a_run_stays_on_its_deployment,
        a_run_waits_for_a_first_deployment, a_lost_attempt_stays_visible, an_old_epoch_changes_nothing,
        a_released_run_can_be_taken_again;
    runs_cancel: a_waiting_run_is_canceled, a_canceled_run_stays_canceled_whatever_its_worker_does,
        an_ended_run_is_left_as_it_is, canceling_a_recreate_leaves_the_session_expired,
        a_run_is_locked_out_only_by_one_long_holder;
    runs_commit: a_result_is_read_back_with_its_payloads, a_candidate_survives_its_worker, a_failure_is_read_back_whole,
        a_cancellation_by_the_login_is_read_back_whole, a_commit_that_makes_no_sense_changes_nothing,
        an_api_attempt_succeeds_once;
    secrets: everything_is_sealed_anew_after_a_rotation, a_rotation_that_was_not_settled_makes_no_further_key,
        a_value_that_does_not_open_is_named_and_left, archives_are_named_by_their_deployments;
    signals: every_write_announces_itself_and_nothing_else_does;
    workers: a_worker_is_known_by_what_it_said, a_new_life_supersedes_those_of_its_folder,
        whoever_has_the_database_alone_supersedes_everybody, a_lapsed_lease_can_be_renewed,
        lapsed_workers_are_given_up_and_no_others, no_more_workers_are_given_up_than_asked_for,
        a_retired_worker_leaves_nothing_behind, live_workers_are_listed_before_old_ones_are, the_database_tells_its_time;
}
