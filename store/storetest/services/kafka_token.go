package services

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// Who may get a token.
const (
	KafkaClientID     = "redrive-client"
	KafkaClientSecret = "s3cr3t-of-the-client"
)

// KafkaTokens is a token endpoint (OAuth 2.0, client credentials) whose tokens Kafka takes, on every listener with a sign-in.
type KafkaTokens struct {
	URL   string
	Asked atomic.Int64                              // for tokens
	Life  atomic.Int64                              // of the next tokens, in nanoseconds; they may be past their end when they are given
	Form  atomic.Pointer[map[string][]string]       // of the last question
	Says  atomic.Pointer[func(http.ResponseWriter)] // instead of a token
}

// StartTokens starts an endpoint that signs with the client's key, which the broker knows; its tokens are for KafkaUser.
func (k *Kafka) StartTokens(t testing.TB) *KafkaTokens {
	t.Helper()
	key, err := readKey(k.ClientKey)
	check(t, err)
	e := &KafkaTokens{}
	e.Life.Store(int64(time.Hour))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.Asked.Add(1)
		_ = r.ParseForm()
		e.Form.Store(new(map[string][]string(r.PostForm)))
		w.Header().Set("Content-Type", "application/json")
		id, secret, _ := r.BasicAuth()
		if says := e.Says.Load(); says != nil {
			(*says)(w)
			return
		}
		if id != KafkaClientID || secret != KafkaClientSecret || r.PostForm.Get("grant_type") != "client_credentials" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"error": "invalid_client", "error_description": "not %s"}`, secret)
			return
		}
		life := time.Duration(e.Life.Load())
		token, err := sign(key, KafkaUser, life)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, `{"access_token": %q, "token_type": "Bearer", "expires_in": %d}`, token, max(int(life.Seconds()), 1))
	}))
	t.Cleanup(server.Close)
	e.URL = server.URL + "/token"
	return e
}

// acceptTokens are the settings of listeners that let in who has a token, signed by the client.
func (k *Kafka) acceptTokens(listener string) []string {
	of := "listener.name." + listener + ".oauthbearer."
	const oauth = "org.apache.kafka.common.security.oauthbearer."
	return []string{
		of + "sasl.jaas.config=" + oauth + "OAuthBearerLoginModule required;",
		of + "sasl.server.callback.handler.class=" + oauth + "OAuthBearerValidatorCallbackHandler",
		of + "sasl.oauthbearer.jwks.endpoint.url=" + k.keys(),
		of + "sasl.oauthbearer.expected.audience=kafka", of + "sasl.oauthbearer.expected.issuer=tests",
		of + "sasl.oauthbearer.clock.skew.seconds=0",
		of + "connections.max.reauth.ms=3600000", // else a connection outlives its token
	}
}

// keys is where the broker reads who signs tokens.
func (k *Kafka) keys() string { return "file://" + k.at("jwks.json") }

// publishKey writes the client's key where the broker reads it.
func (k *Kafka) publishKey() error {
	key, err := readKey(k.ClientKey)
	if err != nil {
		return err
	}
	point, err := key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		return err
	}
	text := fmt.Sprintf(`{"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "client", "x": %q, "y": %q}]}`,
		base64.RawURLEncoding.EncodeToString(point[1:33]), base64.RawURLEncoding.EncodeToString(point[33:]))
	return os.WriteFile(k.at("jwks.json"), []byte(text), 0o600)
}

func readKey(path string) (*ecdsa.PrivateKey, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, errors.New(path + " is no PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	return key.(*ecdsa.PrivateKey), nil // as issue made it
}

// sign makes a token (JWT).
func sign(key *ecdsa.PrivateKey, user string, life time.Duration) (string, error) {
	now := time.Now()
	claims, err := json.Marshal(map[string]any{"sub": user, "aud": "kafka", "iss": "tests", "iat": now.Add(min(life, 0) - time.Minute).Unix(), "exp": now.Add(life).Unix()})
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","typ":"JWT","kid":"client"}`)) + "." +
		base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		return "", err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
