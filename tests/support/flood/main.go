// Command flood publishes one track by WHIP, with packets of the caller's choice at a rate of the caller's choice.
//
// Standard input holds the RTP payloads in hexadecimal, one a line, which are sent in turn for ever. Standard output
// carries one JSON object a line: {"event":"sending"} once it is connected, {"event":"finished", "packets":..., ...} at
// the end. Exit status 1: it could not publish; the reason is on standard error.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

const (
	turn        = time.Millisecond
	connectTime = 20 * time.Second
	payloadType = 111
)

type options struct {
	url, bearer, codec string
	rate               float64
	ticks              uint
	duration           time.Duration
}

func parseOptions() options {
	var o options
	flag.StringVar(&o.url, "url", "", "WHIP endpoint")
	flag.StringVar(&o.bearer, "bearer", "", "bearer token; empty sends none")
	flag.StringVar(&o.codec, "codec", "opus", "opus, h264 or vp8")
	flag.Float64Var(&o.rate, "rate", 25_000, "packets a second")
	flag.UintVar(&o.ticks, "ticks", 960, "RTP time from packet to packet")
	flag.DurationVar(&o.duration, "duration", 20*time.Second, "how long it sends")
	flag.Parse()
	return o
}

func main() {
	if err := run(parseOptions()); err != nil {
		fmt.Fprintln(os.Stderr, "flood:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	payloads, err := readPayloads(os.Stdin)
	if err != nil {
		return err
	}
	codec, err := codecOf(o.codec)
	if err != nil {
		return err
	}
	media := &webrtc.MediaEngine{}
	kind := webrtc.RTPCodecTypeVideo
	if strings.HasPrefix(codec.MimeType, "audio/") {
		kind = webrtc.RTPCodecTypeAudio
	}
	if err := media.RegisterCodec(codec, kind); err != nil {
		return err
	}
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	api := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithSettingEngine(settings))
	connection, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return err
	}
	defer connection.Close()
	track, err := webrtc.NewTrackLocalStaticRTP(codec.RTPCodecCapability, "flood", "flood")
	if err != nil {
		return err
	}
	if _, err := connection.AddTrack(track); err != nil {
		return err
	}
	var isOver atomic.Bool
	resource, err := join(connection, o, &isOver)
	if err != nil {
		return err
	}
	defer leave(resource, o.bearer)
	return send(track, payloads, o, &isOver)
}

func readPayloads(from io.Reader) ([][]byte, error) {
	var payloads [][]byte
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		payload, err := hex.DecodeString(strings.TrimSpace(lines.Text()))
		if err != nil {
			return nil, err
		}
		payloads = append(payloads, payload)
	}
	if len(payloads) == 0 {
		return nil, errors.New("standard input has no payloads; give one in hexadecimal on each line")
	}
	return payloads, lines.Err()
}

func codecOf(name string) (webrtc.RTPCodecParameters, error) {
	codec := webrtc.RTPCodecParameters{PayloadType: payloadType}
	codec.ClockRate = 90_000
	switch name {
	case "opus":
		codec.MimeType, codec.ClockRate, codec.Channels = webrtc.MimeTypeOpus, 48_000, 2
	case "h264":
		codec.MimeType = webrtc.MimeTypeH264
		codec.SDPFmtpLine = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
	case "vp8":
		codec.MimeType = webrtc.MimeTypeVP8
	default:
		return codec, fmt.Errorf("codec %q is none of opus, h264, vp8", name)
	}
	return codec, nil
}

// join exchanges the whole offer for the answer and returns the session's address once ICE and DTLS are done.
func join(connection *webrtc.PeerConnection, o options, isOver *atomic.Bool) (string, error) {
	connected := make(chan error, 1)
	connection.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			connected <- nil
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			isOver.Store(true)
		default:
		}
	})
	offer, err := connection.CreateOffer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(connection)
	if err := connection.SetLocalDescription(offer); err != nil {
		return "", err
	}
	<-gathered
	response, body, err := request(http.MethodPost, o.url, o.bearer, connection.LocalDescription().SDP)
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("the offer was answered %s: %s", response.Status, strings.TrimSpace(body))
	}
	resource, err := resolve(o.url, response.Header.Get("Location"))
	if err != nil {
		return "", err
	}
	answer := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: body}
	if err := connection.SetRemoteDescription(answer); err != nil {
		return resource, err
	}
	select {
	case err := <-connected:
		return resource, err
	case <-time.After(connectTime):
		return resource, fmt.Errorf("not connected after %s", connectTime)
	}
}

func request(method, address, bearer, body string) (*http.Response, string, error) {
	request, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	request.Header.Set("Content-Type", "application/sdp")
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	client := http.Client{Timeout: connectTime}
	response, err := client.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	return response, string(read), err
}

func resolve(base, location string) (string, error) {
	from, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	to, err := from.Parse(location)
	if err != nil || location == "" {
		return "", fmt.Errorf("no usable Location in the answer: %q", location)
	}
	return to.String(), nil
}

func leave(resource, bearer string) {
	if _, _, err := request(http.MethodDelete, resource, bearer, ""); err != nil {
		fmt.Fprintln(os.Stderr, "flood:", err)
	}
}

// send sends what is due once a millisecond, and says at the end what it sent.
func send(track *webrtc.TrackLocalStaticRTP, payloads [][]byte, o options, isOver *atomic.Bool) error {
	say(map[string]any{"event": "sending"})
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	packet := rtp.Packet{Header: rtp.Header{
		Version: 2, Marker: true, SequenceNumber: uint16(rand.Uint32()), Timestamp: rand.Uint32(),
	}}
	begin, sent, bytes := time.Now(), 0, 0
	ticker := time.NewTicker(turn)
	defer ticker.Stop()
	for isStopped := false; !isStopped && !isOver.Load() && time.Since(begin) < o.duration; {
		select {
		case <-stop:
			isStopped = true
		case <-ticker.C:
		}
		for due := int(time.Since(begin).Seconds() * o.rate); sent < due; sent++ {
			packet.Payload = payloads[sent%len(payloads)]
			if err := track.WriteRTP(&packet); err != nil {
				return err
			}
			bytes += len(packet.Payload)
			packet.SequenceNumber++
			packet.Timestamp += uint32(o.ticks)
		}
	}
	say(map[string]any{
		"event": "finished", "packets": sent, "bytes": bytes,
		"seconds": time.Since(begin).Seconds(), "was_closed": isOver.Load(),
	})
	return nil
}

func say(event any) {
	if err := json.NewEncoder(os.Stdout).Encode(event); err != nil {
		fmt.Fprintln(os.Stderr, "flood:", err)
	}
}
