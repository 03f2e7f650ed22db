package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	pionreport "github.com/pion/interceptor/pkg/report"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

const (
	videoPayload, retransmissionPayload, audioPayload = 102, 103, 111

	connectTime = 20 * time.Second
	requestTime = 20 * time.Second
)

// publisher is one WHIP session and what it has sent.
type publisher struct {
	number       int
	url, bearer  string
	resource     string
	connection   *webrtc.PeerConnection
	tracks       []*sender
	connectedIn  time.Duration
	failure      error
	leaving      sync.Once
	disconnected atomic.Bool
	nacked, plis atomic.Int64
	late         time.Duration // the most a frame was behind its time
}

// sender is one track: where it is in its source, and its RTP numbers.
type sender struct {
	source          *source
	track           *webrtc.TrackLocalStaticRTP
	next            time.Time
	header          rtp.Header
	frames, packets int
}

type report struct {
	Number       int     `json:"number"`
	URL          string  `json:"url"`
	ConnectedMs  float64 `json:"connected_ms"`
	VideoFrames  int     `json:"video_frames"`
	AudioFrames  int     `json:"audio_frames"`
	Packets      int     `json:"packets"`
	Nacked       int64   `json:"nacked_packets"`
	PLIs         int64   `json:"keyframe_requests"`
	LateMsMax    float64 `json:"late_ms_max"`
	Disconnected bool    `json:"disconnected"`
	Failure      string  `json:"failure,omitempty"`
}

// connect joins and returns once ICE and DTLS are done.
func connect(number int, endpoint string, o options, clip *clip) (*publisher, error) {
	began := time.Now()
	joined := &publisher{number: number, url: endpoint, bearer: o.bearer}
	api, err := newAPI(clip, o)
	if err != nil {
		return nil, err
	}
	certificate, err := newCertificate(o.certificate)
	if err != nil {
		return nil, err
	}
	joined.connection, err = api.NewPeerConnection(webrtc.Configuration{Certificates: []webrtc.Certificate{*certificate}})
	if err != nil {
		return nil, err
	}
	if err := joined.join(o, clip); err != nil {
		joined.leave()
		return nil, err
	}
	joined.connectedIn = time.Since(began)
	return joined, nil
}

func (p *publisher) join(o options, clip *clip) error {
	for _, source := range []*source{clip.video, clip.audio} {
		if source != nil {
			if err := p.addTrack(source); err != nil {
				return err
			}
		}
	}
	connected, failed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	p.connection.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			once.Do(func() { close(connected) })
		case webrtc.PeerConnectionStateFailed:
			p.disconnected.Store(true)
			once.Do(func() { close(failed) })
		case webrtc.PeerConnectionStateDisconnected:
			p.disconnected.Store(true)
		default:
		}
	})
	if err := p.exchange(o.setup); err != nil {
		return err
	}
	select {
	case <-connected:
		return nil
	case <-failed:
		return errors.New("the connection failed")
	case <-time.After(connectTime):
		return fmt.Errorf("not connected after %s", connectTime)
	}
}

func (p *publisher) addTrack(source *source) error {
	kind := strings.SplitN(source.codec.MimeType, "/", 2)[0]
	stream := fmt.Sprintf("load-%d", p.number)
	track, err := webrtc.NewTrackLocalStaticRTP(source.codec.RTPCodecCapability, kind, stream)
	if err != nil {
		return err
	}
	rtpSender, err := p.connection.AddTrack(track)
	if err != nil {
		return err
	}
	go p.readFeedback(rtpSender)
	header := rtp.Header{Version: 2, SequenceNumber: uint16(rand.Uint32()), Timestamp: rand.Uint32()} //nolint:gosec // not secret
	p.tracks = append(p.tracks, &sender{source: source, track: track, header: header})
	return nil
}

// readFeedback lets the interceptors see RTCP, and counts what the receiver asked for.
func (p *publisher) readFeedback(from *webrtc.RTPSender) {
	for {
		packets, _, err := from.ReadRTCP()
		if err != nil {
			return
		}
		for _, packet := range packets {
			switch packet := packet.(type) {
			case *rtcp.TransportLayerNack:
				for _, pair := range packet.Nacks {
					p.nacked.Add(int64(len(pair.PacketList())))
				}
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				p.plis.Add(1)
			}
		}
	}
}

// exchange sends the whole offer and takes the answer. RFC 9725 section 4.2.
func (p *publisher) exchange(setup string) error {
	offer, err := p.connection.CreateOffer(nil)
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(p.connection)
	if err := p.connection.SetLocalDescription(offer); err != nil {
		return err
	}
	<-gathered
	text := p.connection.LocalDescription().SDP
	text = strings.ReplaceAll(text, "a=setup:actpass", "a=setup:"+setup)
	response, err := p.request(http.MethodPost, p.url, "application/sdp", text)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusCreated {
		return fmt.Errorf("the offer was answered %s: %s", response.Status, strings.TrimSpace(string(body)))
	}
	if p.resource, err = resolve(p.url, response.Header.Get("Location")); err != nil {
		return err
	}
	return p.connection.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(body)})
}

func (p *publisher) request(method, address, contentType, body string) (*http.Response, error) {
	request, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	if p.bearer != "" {
		request.Header.Set("Authorization", "Bearer "+p.bearer)
	}
	client := http.Client{Timeout: requestTime}
	return client.Do(request)
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

// send paces every track in real time from begin on, a whole number of frames for duration, or until stop.
func (p *publisher) send(begin time.Time, duration time.Duration, stop <-chan struct{}) {
	timer := time.NewTimer(time.Until(begin))
	defer timer.Stop()
	for _, track := range p.tracks {
		track.next = begin
	}
	for {
		next := p.soonest()
		if next.next.Sub(begin) >= duration {
			return
		}
		timer.Reset(time.Until(next.next))
		select {
		case <-stop:
			return
		case <-timer.C:
		}
		p.late = max(p.late, time.Since(next.next))
		if err := next.sendFrame(begin); err != nil {
			p.failure = fmt.Errorf("publisher %d: %w", p.number, err)
			return
		}
	}
}

func (p *publisher) soonest() *sender {
	first := p.tracks[0]
	for _, track := range p.tracks[1:] {
		if track.next.Before(first.next) {
			first = track
		}
	}
	return first
}

// sendFrame sends the packets of one frame back to back, as encoders do.
func (s *sender) sendFrame(begin time.Time) error {
	payloads := s.source.frames[s.frames%len(s.source.frames)]
	for index, payload := range payloads {
		header := s.header
		header.Marker = s.source.markerEach && index == len(payloads)-1
		if err := s.track.WriteRTP(&rtp.Packet{Header: header, Payload: payload}); err != nil {
			return err
		}
		s.header.SequenceNumber++
		s.packets++
	}
	s.frames++
	s.header.Timestamp += s.source.ticks
	s.next = begin.Add(time.Duration(s.frames) * s.source.interval)
	return nil
}

// leave ends the session by DELETE; a second call does nothing.
func (p *publisher) leave() {
	p.leaving.Do(func() {
		if p.resource != "" {
			response, err := p.request(http.MethodDelete, p.resource, "", "")
			if err == nil {
				response.Body.Close()
			}
			p.failure = errors.Join(p.failure, err)
		}
		p.failure = errors.Join(p.failure, p.connection.Close())
	})
}

func (p *publisher) report() report {
	told := report{
		Number:       p.number,
		URL:          p.url,
		ConnectedMs:  milliseconds(p.connectedIn),
		Nacked:       p.nacked.Load(),
		PLIs:         p.plis.Load(),
		LateMsMax:    milliseconds(p.late),
		Disconnected: p.disconnected.Load(),
	}
	for _, track := range p.tracks {
		told.Packets += track.packets
		if track.source.markerEach {
			told.VideoFrames += track.frames
		} else {
			told.AudioFrames += track.frames
		}
	}
	if p.failure != nil {
		told.Failure = p.failure.Error()
	}
	return told
}

func milliseconds(duration time.Duration) float64 {
	return float64(duration.Microseconds()) / 1000
}

// newAPI registers exactly what the clip needs, with what a good encoder brings: NACK, RTX, sender reports.
func newAPI(clip *clip, o options) (*webrtc.API, error) {
	media, registry := &webrtc.MediaEngine{}, &interceptor.Registry{}
	if err := registerCodecs(media, clip); err != nil {
		return nil, err
	}
	responder, err := nack.NewResponderInterceptor()
	if err != nil {
		return nil, err
	}
	registry.Add(responder)
	reports, err := pionreport.NewSenderInterceptor()
	if err != nil {
		return nil, err
	}
	registry.Add(reports)
	if o.twcc {
		for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
			media.RegisterFeedback(webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBTransportCC}, kind)
		}
		if err := webrtc.ConfigureTWCCHeaderExtensionSender(media, registry); err != nil {
			return nil, err
		}
	}
	if err := media.RegisterHeaderExtension(
		webrtc.RTPHeaderExtensionCapability{URI: sdp.SDESMidURI}, webrtc.RTPCodecTypeVideo,
	); err != nil {
		return nil, err
	}
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	return webrtc.NewAPI(
		webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(settings),
	), nil
}

func registerCodecs(media *webrtc.MediaEngine, clip *clip) error {
	if clip.audio != nil {
		codec := clip.audio.codec
		codec.PayloadType = audioPayload
		if err := media.RegisterCodec(codec, webrtc.RTPCodecTypeAudio); err != nil {
			return err
		}
	}
	if clip.video == nil {
		return nil
	}
	codec := clip.video.codec
	codec.PayloadType = videoPayload
	codec.RTCPFeedback = []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}}
	if err := media.RegisterCodec(codec, webrtc.RTPCodecTypeVideo); err != nil {
		return err
	}
	retransmission := webrtc.RTPCodecParameters{PayloadType: retransmissionPayload}
	retransmission.MimeType, retransmission.ClockRate = webrtc.MimeTypeRTX, 90_000
	retransmission.SDPFmtpLine = fmt.Sprintf("apt=%d", videoPayload)
	return media.RegisterCodec(retransmission, webrtc.RTPCodecTypeVideo)
}
