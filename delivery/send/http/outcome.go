package httpsend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"redrive/delivery"
	"redrive/delivery/wire"
)

// judge reads the status. The sentences are the same for the same cause, because failures are grouped by them.
func judge(status int, header http.Header) delivery.Result {
	if status >= 200 && status < 300 {
		return delivery.Result{Outcome: delivery.OutcomeOK}
	}
	answered := fmt.Sprintf("the receiver answered %d", status)
	transient := func(class string) delivery.Result {
		return delivery.Result{
			Outcome:    delivery.OutcomeTransient,
			ErrorClass: class,
			Error:      answered,
			RetryAfter: retryAfter(header, time.Now()),
		}
	}
	permanent := func(class, more string) delivery.Result {
		return delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: class, Error: answered + more}
	}
	switch {
	case status >= 300 && status < 400:
		return permanent(delivery.ClassRedirect, ", redirects are not followed")
	case status == http.StatusGone:
		return permanent(delivery.ClassGone, ", it does not want such messages any more")
	case status == http.StatusTooManyRequests:
		return transient(delivery.ClassRateLimited)
	case status == http.StatusRequestTimeout || status == http.StatusTooEarly:
		return transient(delivery.ClassHTTP4xx)
	case status >= 400 && status < 500:
		return permanent(delivery.ClassHTTP4xx, "")
	case status >= 500 && status < 600:
		return transient(delivery.ClassHTTP5xx)
	}
	return delivery.Result{
		Outcome:    delivery.OutcomeUnknown,
		ErrorClass: delivery.ClassProtocol,
		Error:      answered + ", which is no answer to a message",
	}
}

// retryAfter reads seconds or a date; 0 when there is neither.
func retryAfter(header http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && seconds >= 0 {
		return min(time.Duration(min(seconds, int64(delivery.MaxRetryAfter/time.Second)))*time.Second, delivery.MaxRetryAfter)
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), delivery.MinRetryAfter)
	}
	return 0
}

// failure reads an error. Whether anything was sent decides between "try again" and "nobody knows".
func failure(ctx context.Context, err error, sent bool) delivery.Result {
	if sent {
		return unknown(ctx, err)
	}
	return wire.Unsent("receiver", err)
}

func unknown(ctx context.Context, err error) delivery.Result {
	result := delivery.Result{Outcome: delivery.OutcomeUnknown, ErrorClass: delivery.ClassConnectionLost,
		Error: "the connection broke after the request was sent"}
	var timeout net.Error
	switch {
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		result.ErrorClass, result.Error = delivery.ClassTimeout, "no answer within the timeout after the request was sent"
	case errors.Is(err, io.EOF),
		errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.EPIPE):
	case isProtocol(err):
		result.ErrorClass, result.Error = delivery.ClassProtocol, "what the receiver answered is not HTTP"
	}
	return result
}

// isProtocol: net/http has no type for these errors, only the text.
func isProtocol(err error) bool {
	text := err.Error()
	for _, sign := range []string{"malformed", "server response headers exceeded", "unsupported transfer encoding", "invalid header", "bad Content-Length"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	var protocol *http.ProtocolError
	return errors.As(err, &protocol)
}
