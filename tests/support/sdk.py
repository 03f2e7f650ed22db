"""The unmodified official Python SDK, pointed at a server, with one short call per operation."""

import json
import time

import huaweicloudsdkcloudrtc.v2 as vendor
from huaweicloudsdkcloudrtc.v2 import (
    CloudRTCClient,
    CreateIndividualStreamJobRequest,
    IndividualStreamJobReq,
    RecordParam,
    ShowIndividualStreamJobRequest,
    StopIndividualStreamJobRequest,
    UpdateIndividualJobReq,
    UpdateIndividualStreamJobRequest,
)
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

__all__ = ["RecordParam", "Sdk", "fields_of"]

RULE = RecordParam(record_rule_id="demo")


def fields_of(view):
    """Return what a response or a part of one holds as plain values, without the request's own id."""
    return {name: value for name, value in json.loads(str(view)).items() if name != "X-request-Id"}


class Sdk:
    """One customer: an access key, its secret and a project, or a token besides."""

    def __init__(self, url, *, access="devkey", secret=None, project="dev", token=None):
        credentials = BasicCredentials(access, secret or "devsecret", project)
        self.client = CloudRTCClient.new_builder().with_credentials(credentials).with_endpoints([url]).build()
        if token is not None:
            self.client.preset_headers = {"X-Auth-Token": token}

    def call(self, operation, **fields):
        """Call an operation by its name; `fields` are those of its request model."""
        name = "".join(part.capitalize() for part in operation.split("_"))
        return getattr(self.client, operation)(getattr(vendor, f"{name}Request")(**fields))

    def create(self, app="demo", **fields):
        body = IndividualStreamJobReq(**{"record_param": RULE, **fields})
        return self.create_raw(body, app)

    def create_raw(self, body, app="demo", **headers):
        """Send a body of the caller's own: a model, a dict, a string, or none."""
        return self.client.create_individual_stream_job(
            CreateIndividualStreamJobRequest(app_id=app, body=body, **headers)
        )

    def show(self, job_id, app="demo"):
        return self.client.show_individual_stream_job(ShowIndividualStreamJobRequest(app_id=app, job_id=job_id))

    def update(self, job_id, rule="demo", app="demo"):
        return self.update_raw(job_id, UpdateIndividualJobReq(record_param=RecordParam(record_rule_id=rule)), app)

    def update_raw(self, job_id, body, app="demo"):
        request = UpdateIndividualStreamJobRequest(app_id=app, job_id=job_id, body=body)
        return self.client.update_individual_stream_job(request)

    def stop(self, job_id, app="demo"):
        return self.client.stop_individual_stream_job(StopIndividualStreamJobRequest(app_id=app, job_id=job_id))

    def delete_finished(self, app_id):
        """Delete a disabled app as soon as its jobs' files are finished."""
        deadline = time.monotonic() + 20
        while True:
            try:
                return self.call("delete_app", app_id=app_id)
            except ClientRequestException as error:
                if "still being finished" not in error.error_msg or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
