// A publisher on pion: sends encoded frames of files by WHIP and tells exactly what it sent.
//
// Reads one JSON Plan from stdin, writes one JSON Report to stdout. Everything that publishers differ in is a field of
// the Plan: certificate, DTLS role, retransmission, layers, redundancy, transport.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"
)

// Plan says what to publish and how.
type Plan struct {
	URL         string   `json:"url"`
	Token       string   `json:"token"`
	Codec       string   `json:"codec"`       // H264, VP8, VP9 or AV1
	Layers      []string `json:"layers"`      // Files of frames, lowest layer first; one without simulcast, none for sound alone
	Audio       string   `json:"audio"`       // File of Opus packets; empty for pictures alone
	Certificate string   `json:"certificate"` // rsa2048, p256 or p384
	Setup       string   `json:"setup"`       // actpass, active or passive
	Simulcast   string   `json:"simulcast"`   // rid, or ssrc for layers named by ssrc-group SIM
	Transport   string   `json:"transport"`   // udp, udp4, udp6 or tcp
	RTX         bool     `json:"rtx"`         // Offer a stream for retransmissions
	RED         bool     `json:"red"`         // Send each Opus packet again with the next (RFC 2198)
	BundleOnly  bool     `json:"bundle_only"` // All sections but the first have port 0 and a=bundle-only
	DropVideo   int      `json:"drop_video"`  // Lose every n-th picture packet when it is first sent; 0 for none
	DropAudio   int      `json:"drop_audio"`  // Likewise for sound
	NoNACK      bool     `json:"no_nack"`     // Never send a packet again
	Via         string   `json:"via"`         // Address that stands for the server's media port; empty for its own
	Script      *Script  `json:"script"`      // What happens and when; without one everything is sent once, at once
}

// Report says what was sent.
type Report struct {
	VideoFrames   []int    `json:"video_frames"` // Per layer
	AudioFrames   int      `json:"audio_frames"`
	Dropped       int      `json:"dropped"`       // Packets lost on purpose
	Retransmitted int      `json:"retransmitted"` // Packets sent again because the server asked
	Pair          string   `json:"pair"`          // Protocol, local and remote address of the media path
	IceServers    []string `json:"ice_servers"`   // Link headers of the 201
	Candidates    []string `json:"candidates"`    // Of the answer
	ConnectMs     int64    `json:"connect_ms"`    // From the answer to a connected transport
	Sent          []Sent   `json:"sent"`          // By a script: every frame that left, in order
	LateMs        int64    `json:"late_ms"`       // By a script: the most a frame left after it was due
	Joined        []int64  `json:"joined_us"`     // By a script: when each session was connected, Unix microseconds
}

func main() {
	var plan Plan
	if err := json.NewDecoder(os.Stdin).Decode(&plan); err != nil {
		fail(err)
	}
	report, err := publish(plan)
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "pion publisher:", err)
	os.Exit(1)
}

func publish(plan Plan) (*Report, error) {
	report := &Report{}
	losses := newLosses(plan, report)
	if plan.Script != nil {
		return report, perform(plan, losses, report)
	}
	live, err := connect(plan, losses, report)
	if err != nil {
		return nil, err
	}
	defer live.close()
	if err := play(live.streams, report); err != nil {
		return nil, err
	}
	// The last packets may still be asked for again.
	time.Sleep(400 * time.Millisecond)
	losses.conclude()
	return report, nil
}

// connection is a session that is connected, and what it can send.
type connection struct {
	pc      *webrtc.PeerConnection
	streams []*stream
	session *session
}

// connect joins, and returns once the transport stands.
func connect(plan Plan, losses *losses, report *Report) (*connection, error) {
	api, err := newAPI(plan, losses)
	if err != nil {
		return nil, err
	}
	certificate, err := newCertificate(plan.Certificate)
	if err != nil {
		return nil, err
	}
	pc, err := api.NewPeerConnection(webrtc.Configuration{
		Certificates: []webrtc.Certificate{*certificate},
		BundlePolicy: webrtc.BundlePolicyMaxBundle,
	})
	if err != nil {
		return nil, err
	}
	live := &connection{pc: pc}
	if err := live.join(api, plan, report); err != nil {
		live.close()
		return nil, err
	}
	return live, nil
}

func (c *connection) join(api *webrtc.API, plan Plan, report *Report) error {
	streams, err := addStreams(api, c.pc, plan)
	if err != nil {
		return err
	}
	c.streams = streams
	connected := make(chan struct{})
	var once sync.Once
	c.pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		// A script's network may break off and come back.
		if state == webrtc.PeerConnectionStateConnected {
			once.Do(func() { close(connected) })
		}
	})
	if c.session, err = join(c.pc, plan, streams, report); err != nil {
		return err
	}
	answeredAt := time.Now()
	select {
	case <-connected:
	case <-time.After(15 * time.Second):
		return fmt.Errorf("not connected within 15 s: %s", c.pc.ConnectionState())
	}
	report.ConnectMs = time.Since(answeredAt).Milliseconds()
	report.Pair = selectedPair(c.pc)
	return startStreams(streams)
}

func (c *connection) close() {
	if c.session != nil {
		c.session.leave()
	}
	c.pc.Close()
}

func selectedPair(pc *webrtc.PeerConnection) string {
	transport := pc.SCTP()
	var dtls *webrtc.DTLSTransport
	if transport != nil {
		dtls = transport.Transport()
	}
	for _, sender := range pc.GetSenders() {
		if dtls == nil {
			dtls = sender.Transport()
		}
	}
	pair, err := dtls.ICETransport().GetSelectedCandidatePair()
	if err != nil || pair == nil {
		return ""
	}
	return fmt.Sprintf("%s %s %s", pair.Local.Protocol, pair.Local.Address, pair.Remote.Address)
}
