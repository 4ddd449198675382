package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"redrive/delivery"
	"redrive/delivery/past"
)

// stories are what failed in the week, and what people did about it.
var stories = []func(context.Context, *week) error{stockStory, orderStory, addressStory, giftStory, gatewayStory, tokenStory, unknownStory,
	pupilStory, blockedStory, quotaStory, mailboxStory, indexStory}

// Something is sold out, more often from day to day; somebody looks after it.
func stockStory(ctx context.Context, w *week) error {
	list := w.fail(ctx, noStock, func(int) content {
		m := order()
		m["item"] = soldOut
		return m
	}, span{5, 160, 49}, span{12, 47, 25}, span{41, 23, 0.4})
	for i, f := range list[len(list)-6:] {
		at := w.ago(0.3).Add(time.Duration(i) * time.Second)
		f.Assign(w.mina, w.mina, at, "SHOP-2211", "stock")
		if i < 3 {
			f.Acknowledge(w.mina, at.Add(time.Minute))
		}
	}
	f := list[len(list)-1]
	f.Note(w.id(w.ago(0.2)), w.mina, w.ago(0.2), "창고에 확인했습니다. 금요일에 다시 입고됩니다.")
	f.Note(w.id(w.ago(0.1)), w.junho, w.ago(0.1), "Then let us retry the group on Friday, as a canary.")
	return nil
}

// Orders of the marketplace are not known to the seller's program.
func orderStory(ctx context.Context, w *week) error {
	list := w.fail(ctx, noOrder, func(int) content {
		m := order()
		m["channel"] = "marketplace"
		return m
	}, span{8, 140, 48}, span{4, 46, 25}, span{2, 20, 2})
	end := w.now.Add(26 * time.Hour).Truncate(time.Hour)
	for i, f := range list[:4] {
		err := f.Decide(past.Decision{Action: delivery.ActionIgnore, By: w.mina, At: w.ago(30).Add(time.Duration(i) * time.Second), Until: &end,
			Category: "receiver-bug", Reason: "The seller moves its marketplace orders over tomorrow night"})
		if err != nil {
			return err
		}
	}
	return nil
}

// Addresses without a house number: some are mended and delivered, some are settled otherwise.
func addressStory(ctx context.Context, w *week) error {
	list := w.fail(ctx, noNumber, func(int) content {
		m := order()
		m["address"] = pick([]string{"주소 미정", "Harbour Street", "서울시 마포구 양화로"})
		return m
	}, span{12, 150, 50}, span{6, 47, 25}, span{5, 23, 1})
	for i, f := range list[:6] {
		var m content
		if err := json.Unmarshal(f.Message.Payload, &m); err != nil {
			return err
		}
		m["address"] = fmt.Sprintf("%s %d", m.text("address"), 10+i)
		payload, _ := json.Marshal(m)
		at := w.ago(40 - float64(i))
		if err := f.Edit(w.junho, at, "The customer told us the house number", payload); err != nil {
			return err
		}
		f.Send(at.Add(time.Second), w.now, w.again(ctx, noNumber))
	}
	for i, f := range list[6:9] {
		f.Assign(w.junho, w.junho, w.ago(36), "SHOP-2188")
		err := f.Decide(past.Decision{Action: delivery.ActionResolve, By: w.junho, At: w.ago(35).Add(time.Duration(i) * time.Minute),
			Reason: "The customer cancelled the order by telephone", Evidence: "https://tickets.example/SHOP-2188"})
		if err != nil {
			return err
		}
	}
	return nil
}

// A release of this morning sends a field that the seller does not know; a canary found out that a retry does not help.
func giftStory(ctx context.Context, w *week) error {
	list := w.fail(ctx, giftNote, func(i int) content {
		m := order()
		m["gift_note"] = pick([]string{"생일 축하해요!", "Happy birthday", "고맙습니다"})
		return m
	}, span{64, 3.5, 0.6})
	o := past.Retry(w.id(w.ago(0.45)), w.mina, w.ago(0.45), "The seller says that it takes the field now", delivery.Pace{Canary: delivery.StandardCanary}, list)
	w.Operations = append(w.Operations, o)
	return o.Run(w.now, time.Minute, w.again(ctx, giftNote))
}

// The seller's gateway was away for an afternoon: most came through at a later try.
func gatewayStory(ctx context.Context, w *week) error {
	for i := range 46 {
		hours := 40 - 6*float64(i)/42
		if i >= 42 {
			hours = 20 - float64(i-42)
		}
		times := 1 + i%4
		if i%5 == 0 {
			times = 99
		}
		w.failAt(ctx, noGateway, w.ago(hours), order(), times)
	}
	retried := 0
	for _, f := range w.Failures[len(w.Failures)-46:] {
		if f.State != delivery.StateDead || retried == 6 {
			continue
		}
		at := w.ago(30).Add(time.Duration(retried) * time.Minute)
		retried++
		if err := f.Decide(past.Decision{Action: delivery.ActionRetry, By: w.mina, At: at}); err != nil {
			return err
		}
		f.Send(at.Add(time.Second), w.now, w.again(ctx, noGateway))
	}
	return nil
}

// A token had expired; when it was replaced all were sent again, a canary first.
func tokenStory(ctx context.Context, w *week) error {
	list := w.fail(ctx, noToken, func(int) content { return order() }, span{38, 73, 70})
	o := past.Retry(w.id(w.ago(69)), w.junho, w.ago(69), "The new token is in place", delivery.Pace{Canary: 5}, list)
	w.Operations = append(w.Operations, o)
	return o.Run(w.now, 20*time.Second, w.again(ctx, noToken))
}

// Nobody knows whether points were granted: the receiver hung up and does not drop duplicates.
func unknownStory(ctx context.Context, w *week) error {
	list := w.fail(ctx, hungUp, func(int) content { return content{"student": pick(people), "lesson": pick(lessons)} },
		span{6, 120, 50}, span{3, 47, 25}, span{2, 20, 3})
	for i, f := range list[:4] {
		err := f.Decide(past.Decision{Action: delivery.ActionResolve, By: w.junho, At: w.ago(44 - float64(i)),
			Reason: "The ledger has the ten points", Evidence: "points ledger, page 118"})
		if err != nil {
			return err
		}
	}
	f := list[len(list)-1]
	f.Note(w.id(w.ago(2)), w.sora, w.ago(2), "Look into the ledger before you send this again: a second grant would not be noticed.")
	return nil
}

// Students left the course: nothing more is granted.
func pupilStory(ctx context.Context, w *week) error {
	list := w.fail(ctx, noPupil, func(int) content {
		return content{"student": pick(people) + " " + withdrawn, "lesson": pick(lessons)}
	}, span{19, 150, 30}, span{2, 20, 4})
	for i, f := range list[:17] {
		err := f.Decide(past.Decision{Action: delivery.ActionIgnore, By: w.junho, At: w.ago(28).Add(time.Duration(i) * time.Second),
			Category: "obsolete", Reason: "They left the course, nothing is granted any more"})
		if err != nil {
			return err
		}
	}
	return nil
}

// Numbers that take no messages.
func blockedStory(ctx context.Context, w *week) error {
	list := w.fail(ctx, noCalls, func(int) content { return w.login(blocked + "%04d") }, span{7, 60, 26}, span{4, 22, 1})
	end := w.now.Add(22 * time.Hour).Truncate(time.Minute)
	for i, f := range list[:6] {
		err := f.Decide(past.Decision{Action: delivery.ActionIgnore, By: w.mina, At: w.ago(24).Add(time.Duration(i) * time.Second), Until: &end,
			Category: "accepted-loss", Reason: "수신 거부 고객입니다. 로그인 화면에서 다시 요청하면 됩니다"})
		if err != nil {
			return err
		}
	}
	return nil
}

// The mail provider takes no more today: these wait until it does.
func quotaStory(ctx context.Context, w *week) error {
	w.fail(ctx, noQuota, func(int) content { return content{"name": pick(people)} }, span{12, 5, 0.5})
	return nil
}

// Mailboxes that are gone were settled days ago, and come back since yesterday.
func mailboxStory(ctx context.Context, w *week) error {
	gone := func(i int) content { return content{"name": fmt.Sprintf("member%d%s", 100+i, oldMail)} }
	list := w.fail(ctx, noMailbox, gone, span{17, 150, 125}, span{6, 20, 2})
	for i, f := range list[:17] {
		err := f.Decide(past.Decision{Action: delivery.ActionResolve, By: w.junho, At: w.ago(110).Add(time.Duration(i) * time.Second),
			Reason: "The addresses were taken from an old list, which is deleted", Evidence: "SHOP-2150"})
		if err != nil {
			return err
		}
	}
	list[22].Assign(w.mina, w.junho, w.ago(1), "SHOP-2150")
	return nil
}

// The search index was read-only for an hour; the integration's policy leaves that to the nightly reindex.
func indexStory(ctx context.Context, w *week) error {
	w.fail(ctx, readOnly, func(int) content { return article() }, span{15, 82, 81})
	return nil
}
