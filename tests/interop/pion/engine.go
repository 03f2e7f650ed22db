package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"

	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"
)

const (
	opusType = 111
	redType  = 63
	midURI   = "urn:ietf:params:rtp-hdrext:sdes:mid"
	ridURI   = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
)

var videoTypes = map[string]struct {
	mime, fmtp string
	number     webrtc.PayloadType
}{
	"H264": {webrtc.MimeTypeH264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f", 102},
	"VP8":  {webrtc.MimeTypeVP8, "", 96},
	"VP9":  {webrtc.MimeTypeVP9, "profile-id=0", 98},
	"AV1":  {webrtc.MimeTypeAV1, "", 45},
}

// newAPI offers the plan's codecs and nothing else.
func newAPI(plan Plan, losses *losses) (*webrtc.API, error) {
	media := &webrtc.MediaEngine{}
	if err := registerCodecs(media, plan); err != nil {
		return nil, err
	}
	registry := &interceptor.Registry{}
	// The first registered is the last before the wire: what it loses the others believe sent, and can send again.
	registry.Add(losses)
	if err := registerInterceptors(media, registry, plan); err != nil {
		return nil, err
	}
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	switch plan.Transport {
	case "tcp":
		settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6})
	case "udp4":
		settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	case "udp6":
		settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP6})
	}
	return webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry),
		webrtc.WithSettingEngine(settings)), nil
}

// registerInterceptors leaves sender reports to a script, which knows when each frame was captured.
func registerInterceptors(media *webrtc.MediaEngine, registry *interceptor.Registry, plan Plan) error {
	switch {
	case plan.Script == nil:
		return webrtc.RegisterDefaultInterceptors(media, registry)
	case plan.NoNACK:
		return nil
	}
	return webrtc.ConfigureNack(media, registry)
}

func registerCodecs(media *webrtc.MediaEngine, plan Plan) error {
	for _, uri := range []string{midURI, ridURI} {
		extension := webrtc.RTPHeaderExtensionCapability{URI: uri}
		if err := media.RegisterHeaderExtension(extension, webrtc.RTPCodecTypeVideo); err != nil {
			return err
		}
	}
	opus := webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
	}
	audio := []webrtc.RTPCodecParameters{{RTPCodecCapability: opus, PayloadType: opusType}}
	if plan.RED {
		red := webrtc.RTPCodecCapability{MimeType: "audio/red", ClockRate: 48000, Channels: 2, SDPFmtpLine: "111/111"}
		audio = append([]webrtc.RTPCodecParameters{{RTPCodecCapability: red, PayloadType: redType}}, audio...)
	}
	for _, codec := range audio {
		if err := media.RegisterCodec(codec, webrtc.RTPCodecTypeAudio); err != nil {
			return err
		}
	}
	chosen := videoTypes[plan.Codec]
	video := videoCapability(plan)
	parameters := webrtc.RTPCodecParameters{RTPCodecCapability: video, PayloadType: chosen.number}
	if err := media.RegisterCodec(parameters, webrtc.RTPCodecTypeVideo); err != nil || !plan.RTX {
		return err
	}
	rtx := webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: fmt.Sprintf("apt=%d", chosen.number),
	}
	repair := webrtc.RTPCodecParameters{RTPCodecCapability: rtx, PayloadType: chosen.number + 1}
	return media.RegisterCodec(repair, webrtc.RTPCodecTypeVideo)
}

func videoCapability(plan Plan) webrtc.RTPCodecCapability {
	chosen := videoTypes[plan.Codec]
	feedback := []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}}
	if plan.NoNACK {
		feedback = feedback[1:]
	}
	return webrtc.RTPCodecCapability{
		MimeType: chosen.mime, ClockRate: 90000, SDPFmtpLine: chosen.fmtp, RTCPFeedback: feedback,
	}
}

func newCertificate(kind string) (*webrtc.Certificate, error) {
	var key crypto.PrivateKey
	var err error
	switch kind {
	case "rsa2048":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "p256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "p384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	default:
		err = fmt.Errorf("no certificate of kind %q", kind)
	}
	if err != nil {
		return nil, err
	}
	return webrtc.GenerateCertificate(key)
}
