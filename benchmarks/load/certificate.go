package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"

	"github.com/pion/webrtc/v4"
)

// newCertificate makes a fresh certificate of a kind publishers are met with.
func newCertificate(kind string) (*webrtc.Certificate, error) {
	var (
		key crypto.PrivateKey
		err error
	)
	switch kind {
	case "p256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "p384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "rsa2048":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		return nil, fmt.Errorf("certificate %q is none of p256, p384, rsa2048", kind)
	}
	if err != nil {
		return nil, err
	}
	return webrtc.GenerateCertificate(key)
}
