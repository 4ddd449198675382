package services

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// certify writes who signs, and what it signed: the broker's certificate for 127.0.0.1, and a client's.
func (k *Kafka) certify() error {
	k.CA, k.ClientCert, k.ClientKey = k.at("ca.pem"), k.at("client.pem"), k.at("client.key")
	ca, err := issue("the tests", nil)
	if err != nil {
		return err
	}
	broker, err := issue("broker", ca)
	if err != nil {
		return err
	}
	client, err := issue(KafkaUser, ca)
	if err != nil {
		return err
	}
	for path, text := range map[string][]byte{
		k.CA: ca.cert, k.at("ca.key"): ca.key, k.ClientCert: client.cert, k.ClientKey: client.key, k.at("broker.pem"): slices.Concat(broker.key, broker.cert),
	} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// identity is a certificate and its key, as PEM and as they are.
type identity struct {
	cert, key []byte
	signer    *ecdsa.PrivateKey
	leaf      *x509.Certificate
}

// issue makes a certificate of this day that by signed, or itself where there is nobody.
func issue(name string, by *identity) (*identity, error) {
	return issueUntil(name, by, time.Now().Add(24*time.Hour))
}

// IssueClient writes a certificate of a client that may do everything, and its key. known: the broker knows who signed it.
func (k *Kafka) IssueClient(t testing.TB, known bool, until time.Time) (cert, key string) {
	t.Helper()
	var ca *identity
	var err error
	if known {
		ca, err = k.signer()
	} else {
		ca, err = issue("strangers", nil)
	}
	check(t, err)
	client, err := issueUntil(KafkaUser, ca, until)
	check(t, err)
	cert, key = filepath.Join(t.TempDir(), "client.pem"), filepath.Join(t.TempDir(), "client.key")
	check(t, os.WriteFile(cert, client.cert, 0o600))
	check(t, os.WriteFile(key, client.key, 0o600))
	return cert, key
}

// signer is who signs for this broker.
func (k *Kafka) signer() (*identity, error) {
	key, err := readKey(k.at("ca.key"))
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(k.CA)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw) // as certify wrote it
	leaf, err := x509.ParseCertificate(block.Bytes)
	return &identity{signer: key, leaf: leaf}, err
}

func issueUntil(name string, by *identity, until time.Time) (*identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	id := &identity{signer: key, leaf: &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: until.Add(-48 * time.Hour), NotAfter: until,
		IsCA: by == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}}
	if by == nil {
		by = id
	}
	der, err := x509.CreateCertificate(rand.Reader, id.leaf, by.leaf, &key.PublicKey, by.signer)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key) // the form that Java reads
	if err != nil {
		return nil, err
	}
	id.cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	id.key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	return id, nil
}
