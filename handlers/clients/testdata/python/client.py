"""Says what became of the same calls in each language, in JSON."""

import datetime
import io
import json
import sys
import uuid

from redrive_client import AuthenticatedClient
from redrive_client.api.audit import get_audit_head, list_audit
from redrive_client.api.failures import get_delivery, ignore_failure, list_failures, list_groups, retry_failure
from redrive_client.api.integrations import list_integrations
from redrive_client.api.messages import accept_message, get_message
from redrive_client.api.operations import get_operation, start_operation
from redrive_client.models import (
    Action, ChosenDelivery, CloudEvent, CloudEventSpecversion, Filter, ListFailuresErrorClassItem, ListFailuresSort, MessageInput,
    MessageInputHeadersType0, OperationInput, OperationInputAction, State)
from redrive_client.types import File

base, token = sys.argv[1:]
client = AuthenticatedClient(base_url=base, token=token)
out = {}
hour_ago = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)

headers = MessageInputHeadersType0.from_dict({"X-Shop": "17"})
command = MessageInput(integration="push", type_="order.placed", key="k", payload={"order": 1}, idempotency_key="command", headers=headers)
first = accept_message.sync_detailed(client=client, body=command)
again = accept_message.sync_detailed(client=client, body=command)
out["command"] = [first.status_code, first.parsed.duplicate, first.parsed.deliveries[0].state, again.status_code, again.parsed.duplicate]
message = get_message.sync(first.parsed.id, client=client)
out["message"] = [message.type_, message.key, message.headers.to_dict(), message.payload]
out["event"] = accept_message.sync_detailed(client=client, body=MessageInput(type_="order.placed", payload_base64="AP8=")).status_code
structured = CloudEvent(specversion=CloudEventSpecversion("1.0"), id="1", source="/shop", type_="order.placed", data=[1], redriveintegration="push")
structured.additional_properties = {"tenant": "north", "number": 7, "truth": True}
out["structured"] = accept_message.sync_detailed(client=client, body=structured).status_code
out["binary"] = accept_message.sync_detailed(
    client=client, body=File(payload=io.BytesIO(b"\x00\x01")), ce_specversion="1.0", ce_id="2", ce_source="/shop", ce_type="order.placed",
    ce_redriveintegration="push").status_code
wrong = accept_message.sync(client=client, body=MessageInput(integration="nobody", type_="t", payload=1))
out["unknown"] = [wrong.code, wrong.field]


def page(after=None):
    more = {"after": after} if after else {}
    return list_failures.sync(
        client=client, state=[State.DEAD, State.PENDING], integration=["push"], error_class=[ListFailuresErrorClassItem.HTTP_4XX], q="404",
        from_=hour_ago, sort=ListFailuresSort.OLDEST, limit=2, **more)


found = page()
rest = page(found.next_)
one = found.items[0]
out["failures"] = [len(found.items), len(rest.items), rest.next_ is None, one.state, one.error_class, one.error, one.settlement is None]
detail = get_delivery.sync(one.id, client=client)
out["detail"] = [detail.version == one.version, detail.attempts[0].http_status, detail.attempts[0].outcome, len(detail.history)]
retried = retry_failure.sync_detailed(one.id, client=client, body=Action(version=one.version, reason="mended"))
out["retry"] = [retried.status_code, retried.parsed.state, retried.parsed.version - one.version]
stale = retry_failure.sync(one.id, client=client, body=Action(version=one.version))
out["conflict"] = [stale.code, stale.actor, stale.action, stale.state, stale.version == retried.parsed.version, isinstance(stale.at, datetime.datetime)]
out["reason"] = ignore_failure.sync(one.id, client=client, body=Action()).code

dry = start_operation.sync_detailed(client=client, body=OperationInput(
    action=OperationInputAction.RESOLVE, dry_run=True, filter_=Filter(integration=["push"], state=["dead"])))
out["dry"] = [dry.status_code, dry.parsed.eligible, dry.parsed.integrations.to_dict()]
left = list_failures.sync(client=client).items
ids = [d.id if n == 0 else ChosenDelivery(id=d.id, version=d.version) for n, d in enumerate(left)]
started = start_operation.sync_detailed(client=client, body=OperationInput(action=OperationInputAction.ACKNOWLEDGE, ids=ids, reason="seen"))
shown = get_operation.sync(started.parsed.id, client=client)
out["operation"] = [started.status_code, shown.selected, shown.action, shown.filter_ is None]

groups = list_groups.sync(client=client, integration=["push"])
out["groups"] = [len(groups.items), groups.items[0].count, groups.items[0].error_class]
out["integrations"] = [i.name + " " + i.method for i in list_integrations.sync(client=client).items]
entry = list_audit.sync(client=client, action="delivery.retry", from_=hour_ago).items[0]
out["audit"] = [entry.actor, entry.reason]
out["stranger"] = get_audit_head.sync(client=AuthenticatedClient(base_url=base, token="nobody")).code
out["nothing"] = get_delivery.sync(uuid.UUID(int=0), client=client).code
print(json.dumps(out))
