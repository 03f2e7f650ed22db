// Command peer_pion is the receiver Soloist is compared with: the shortest pion program that does the same work.
//
// It takes WHIP offers on any path, receives on one UDP port (as Soloist does) and writes each track to
// FOLDER/<last part of the path>.h264 or .ogg with pion's own writers, buffered. It prints one JSON line once it listens.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media/h264writer"
	"github.com/pion/webrtc/v4/pkg/media/oggwriter"
)

const (
	socketBufferBytes = 32 << 20
	fileBufferBytes   = 64 << 10
)

type frameWriter interface {
	WriteRTP(packet *rtp.Packet) error
	Close() error
}

// receiver keeps what DELETE must find.
type receiver struct {
	api      *webrtc.API
	folder   string
	lock     sync.Mutex
	sessions map[string]*session
}

type session struct {
	connection *webrtc.PeerConnection
	writing    sync.WaitGroup
}

func main() {
	folder := flag.String("folder", ".", "where the files go")
	flag.Parse()
	if err := serve(*folder); err != nil {
		fmt.Fprintln(os.Stderr, "peer_pion:", err)
		os.Exit(1)
	}
}

func serve(folder string) error {
	api, err := newAPI()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	here := &receiver{api: api, folder: folder, sessions: map[string]*session{}}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"url": "http://" + listener.Addr().String()}); err != nil {
		return err
	}
	return http.Serve(listener, here) //nolint:gosec // loopback, for the length of a measurement
}

// newAPI builds pion's default interceptors on one UDP socket with a large buffer.
func newAPI() (*webrtc.API, error) {
	media, registry := &webrtc.MediaEngine{}, &interceptor.Registry{}
	if err := errors.Join(media.RegisterDefaultCodecs(), webrtc.RegisterDefaultInterceptors(media, registry)); err != nil {
		return nil, err
	}
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	if err := growBuffer(socket); err != nil {
		return nil, err
	}
	settings := webrtc.SettingEngine{}
	settings.SetLite(true)
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetICEUDPMux(webrtc.NewICEUDPMux(nil, socket))
	return webrtc.NewAPI(
		webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(settings),
	), nil
}

// growBuffer asks for the buffer Soloist has; without it a burst of keyframes costs packets, which is not the question.
func growBuffer(socket *net.UDPConn) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var forced error
	err = raw.Control(func(handle uintptr) {
		forced = syscall.SetsockoptInt(int(handle), syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, socketBufferBytes)
	})
	if forced != nil { // not privileged
		return socket.SetReadBuffer(socketBufferBytes)
	}
	return err
}

func (r *receiver) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	switch request.Method {
	case http.MethodPost:
		r.join(response, request)
	case http.MethodDelete:
		r.leave(request.URL.Path)
	default:
		http.Error(response, "POST or DELETE", http.StatusMethodNotAllowed)
	}
}

func (r *receiver) join(response http.ResponseWriter, request *http.Request) {
	offer, err := io.ReadAll(request.Body)
	if err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	joined := &session{}
	answer, err := r.answer(joined, path.Base(request.URL.Path), string(offer))
	if err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	r.lock.Lock()
	r.sessions[request.URL.Path] = joined
	r.lock.Unlock()
	response.Header().Set("Content-Type", "application/sdp")
	response.Header().Set("Location", request.URL.Path)
	response.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(response, answer)
}

func (r *receiver) answer(joined *session, name, offer string) (string, error) {
	connection, err := r.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	joined.connection = connection
	connection.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		joined.writing.Add(1)
		defer joined.writing.Done()
		if err := write(track, filepath.Join(r.folder, name)); err != nil {
			fmt.Fprintln(os.Stderr, "peer_pion:", err)
		}
	})
	if err := connection.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", err
	}
	answer, err := connection.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(connection)
	if err := connection.SetLocalDescription(answer); err != nil {
		return "", err
	}
	<-gathered
	return connection.LocalDescription().SDP, nil
}

// leave ends a session and returns once its files are whole.
func (r *receiver) leave(path string) {
	r.lock.Lock()
	left := r.sessions[path]
	delete(r.sessions, path)
	r.lock.Unlock()
	if left != nil {
		_ = left.connection.Close()
		left.writing.Wait()
	}
}

// write copies a track to its file until the session ends.
func write(track *webrtc.TrackRemote, base string) (err error) {
	extension := ".h264"
	if track.Kind() == webrtc.RTPCodecTypeAudio {
		extension = ".ogg"
	}
	file, err := os.Create(base + extension)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(file, fileBufferBytes)
	defer func() { err = errors.Join(err, buffered.Flush(), file.Close()) }()
	var frames frameWriter = h264writer.NewWith(buffered)
	if track.Kind() == webrtc.RTPCodecTypeAudio {
		if frames, err = oggwriter.NewWith(buffered, 48_000, 2); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, frames.Close()) }()
	for {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return nil //nolint:nilerr // how a track ends
		}
		if err := frames.WriteRTP(packet); err != nil {
			return err
		}
	}
}
