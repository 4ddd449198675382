package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"syscall"

	"redrive/delivery"
)

// Unsent reads the error of a connection that could not be made: nothing was sent. The sentences are the same for the same
// cause, because failures are grouped by them, and they name no address and no login. peer is the other side's name in them.
func Unsent(peer string, err error) delivery.Result {
	result := delivery.Result{Outcome: delivery.OutcomeTransient}
	var blocked *delivery.BlockedError
	var name *net.DNSError
	var token *TokenError
	switch {
	case errors.As(err, &token):
		return token.result()
	case errors.As(err, &blocked):
		result.Outcome, result.ErrorClass, result.Error = delivery.OutcomePermanent, delivery.ClassBlockedAddress, blocked.Error()
	case errors.As(err, &name):
		result.ErrorClass, result.Error = delivery.ClassDNS, "the "+peer+"'s name did not resolve"
	case isHandshake(err):
		result.ErrorClass, result.Error = delivery.ClassTLS, handshakeSentence(peer, err)
	default:
		result.ErrorClass, result.Error = delivery.ClassConnect, connectSentence(peer, err)
	}
	return result
}

func connectSentence(peer string, err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the " + peer + " refused the connection"
	case errors.Is(err, context.Canceled):
		return "the attempt was cancelled before anything was sent"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no connection to the " + peer + " within the timeout"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "the " + peer + "'s network is unreachable"
	}
	return "the connection to the " + peer + " failed before anything was sent"
}

// Broker is the other side in sentences about brokers.
const Broker = "broker"

// Unanswered is the result of a message that was sent and not confirmed.
func Unanswered(ctx context.Context, err error) delivery.Result {
	result := delivery.Result{Outcome: delivery.OutcomeUnknown, ErrorClass: delivery.ClassConnectionLost,
		Error: "the connection broke after the message was sent"}
	var timeout net.Error
	if ctx.Err() != nil || errors.As(err, &timeout) && timeout.Timeout() {
		result.ErrorClass, result.Error = delivery.ClassTimeout, "no confirmation within the timeout after the message was sent"
	}
	return result
}

func isHandshake(err error) bool {
	var handshake *HandshakeError
	var certificate *tls.CertificateVerificationError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	return errors.As(err, &handshake) || errors.As(err, &certificate) || errors.As(err, &alert) || errors.As(err, &record) ||
		strings.Contains(err.Error(), "tls: ") || strings.Contains(err.Error(), "TLS handshake") // net/http keeps the text alone
}

func handshakeSentence(peer string, err error) string {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &authority):
		return "the " + peer + "'s certificate is signed by an unknown authority"
	case errors.As(err, &host):
		return "the " + peer + "'s certificate is for another name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the " + peer + "'s certificate has expired"
	}
	return "the TLS handshake with the " + peer + " failed"
}
