// The client says what became of the same calls in each language, in JSON.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"time"

	"github.com/google/uuid"

	"clients/api"
)

func ptr[T any](v T) *T { return &v }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func token(text string) api.RequestEditorFn {
	return func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+text)
		return nil
	}
}

func main() {
	ctx, base := context.Background(), os.Args[1]
	c := must(api.NewClientWithResponses(base, api.WithRequestEditorFn(token(os.Args[2]))))
	out := map[string]any{}
	send(ctx, c, out)
	failures(ctx, c, out)
	operations(ctx, c, out)

	groups := must(c.ListGroupsWithResponse(ctx, &api.ListGroupsParams{Integration: &[]string{"push"}}))
	out["groups"] = []any{len(groups.JSON200.Items), groups.JSON200.Items[0].Count, groups.JSON200.Items[0].ErrorClass}
	var names []string
	for _, i := range must(c.ListIntegrationsWithResponse(ctx)).JSON200.Items {
		names = append(names, i.Name+" "+string(i.Method))
	}
	out["integrations"] = names
	audit := must(c.ListAuditWithResponse(ctx, &api.ListAuditParams{Action: ptr("delivery.retry"), From: ptr(time.Now().Add(-time.Hour))}))
	out["audit"] = []any{audit.JSON200.Items[0].Actor, audit.JSON200.Items[0].Reason}

	stranger := must(api.NewClientWithResponses(base, api.WithRequestEditorFn(token("nobody"))))
	out["stranger"] = must(stranger.GetAuditHeadWithResponse(ctx)).ApplicationproblemJSON401.Code
	out["nothing"] = must(c.GetDeliveryWithResponse(ctx, uuid.UUID{})).ApplicationproblemJSON404.Code
	_ = json.NewEncoder(os.Stdout).Encode(out)
}

func send(ctx context.Context, c *api.ClientWithResponses, out map[string]any) {
	command := api.MessageInput{Integration: ptr("push"), Type: "order.placed", Key: ptr("k"), Payload: map[string]any{"order": 1}, IdempotencyKey: ptr("command"),
		Headers: &map[string]string{"X-Shop": "17"}}
	first := must(c.AcceptMessageWithResponse(ctx, nil, command))
	again := must(c.AcceptMessageWithResponse(ctx, nil, command))
	out["command"] = []any{first.StatusCode(), first.JSON202.Duplicate, first.JSON202.Deliveries[0].State, again.StatusCode(), again.JSON200.Duplicate}
	message := must(c.GetMessageWithResponse(ctx, first.JSON202.Id)).JSON200
	out["message"] = []any{message.Type, message.Key, message.Headers, message.Payload}
	event := must(c.AcceptMessageWithResponse(ctx, nil, api.MessageInput{Type: "order.placed", PayloadBase64: ptr([]byte("\x00\xff"))}))
	out["event"] = event.StatusCode()
	structured := must(c.AcceptMessageWithApplicationCloudeventsPlusJSONBodyWithResponse(ctx, nil, api.CloudEvent{Specversion: "1.0", Id: "1", Source: "/shop",
		Type: "order.placed", Data: []int{1}, Redriveintegration: ptr("push"), AdditionalProperties: map[string]any{"tenant": "north", "number": 7, "truth": true}}))
	out["structured"] = structured.StatusCode()
	binary := must(c.AcceptMessageWithBodyWithResponse(ctx, &api.AcceptMessageParams{CeSpecversion: ptr("1.0"), CeId: ptr("2"), CeSource: ptr("/shop"), CeType: ptr("order.placed"),
		CeRedriveintegration: ptr("push")}, "application/octet-stream", bytes.NewReader([]byte{0, 1})))
	out["binary"] = binary.StatusCode()
	wrong := must(c.AcceptMessageWithResponse(ctx, nil, api.MessageInput{Integration: ptr("nobody"), Type: "t", Payload: 1}))
	out["unknown"] = []any{wrong.ApplicationproblemJSON422.Code, *wrong.ApplicationproblemJSON422.Field}
}

func failures(ctx context.Context, c *api.ClientWithResponses, out map[string]any) {
	params := &api.ListFailuresParams{State: &[]api.State{"dead", "pending"}, Integration: &[]string{"push"}, ErrorClass: &[]string{"http_4xx"}, Q: ptr("404"),
		From: ptr(time.Now().Add(-time.Hour)), Sort: ptr(api.ListFailuresParamsSort("oldest")), Limit: ptr(2)}
	page := must(c.ListFailuresWithResponse(ctx, params)).JSON200
	params.After = page.Next
	rest := must(c.ListFailuresWithResponse(ctx, params)).JSON200
	out["failures"] = []any{len(page.Items), len(rest.Items), rest.Next == nil, page.Items[0].State, page.Items[0].ErrorClass, page.Items[0].Error, page.Items[0].Settlement == nil}
	one := page.Items[0]
	detail := must(c.GetDeliveryWithResponse(ctx, one.Id)).JSON200
	out["detail"] = []any{detail.Version == one.Version, *detail.Attempts[0].HttpStatus, detail.Attempts[0].Outcome, len(detail.History)}
	retried := must(c.RetryFailureWithResponse(ctx, one.Id, nil, api.Action{Version: &one.Version, Reason: ptr("mended")}))
	out["retry"] = []any{retried.StatusCode(), retried.JSON200.State, retried.JSON200.Version - one.Version}
	stale := must(c.RetryFailureWithResponse(ctx, one.Id, nil, api.Action{Version: &one.Version})).ApplicationproblemJSON409
	out["conflict"] = []any{stale.Code, *stale.Actor, *stale.Action, *stale.State, *stale.Version == retried.JSON200.Version, stale.At != nil}
	blank := must(c.IgnoreFailureWithResponse(ctx, one.Id, nil, api.Action{}))
	out["reason"] = blank.ApplicationproblemJSON422.Code
}

func operations(ctx context.Context, c *api.ClientWithResponses, out map[string]any) {
	dry := must(c.StartOperationWithResponse(ctx, nil, api.OperationInput{Action: "resolve", DryRun: ptr(true), Filter: &api.Filter{Integration: &[]string{"push"}, State: &[]string{"dead"}}}))
	out["dry"] = []any{dry.StatusCode(), dry.JSON200.Eligible, dry.JSON200.Integrations}
	left := must(c.ListFailuresWithResponse(ctx, &api.ListFailuresParams{})).JSON200.Items
	var ids []api.OperationInput_Ids_Item
	for n, d := range left {
		var id api.OperationInput_Ids_Item
		var err error
		if n == 0 {
			err = id.FromOperationInputIds0(d.Id)
		} else {
			err = id.FromChosenDelivery(api.ChosenDelivery{Id: d.Id, Version: &d.Version})
		}
		must(0, err)
		ids = append(ids, id)
	}
	started := must(c.StartOperationWithResponse(ctx, nil, api.OperationInput{Action: "acknowledge", Ids: &ids, Reason: ptr("seen")}))
	shown := must(c.GetOperationWithResponse(ctx, started.JSON202.Id)).JSON200
	out["operation"] = []any{started.StatusCode(), shown.Selected, shown.Action, shown.Filter == nil}
}
