package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"
)

// session is a WHIP session resource.
type session struct {
	resource string
	token    string
	client   *http.Client
}

// join offers, lets the server answer and applies the answer. The offer is changed on its way out where the plan wants
// a form that pion does not write itself; pion then takes its role from the answer.
func join(pc *webrtc.PeerConnection, plan Plan, streams []*stream, report *Report) (*session, error) {
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		return nil, err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		return nil, err
	}
	<-gathered
	joined := &session{token: plan.Token, client: &http.Client{
		Timeout: 10 * time.Second,
		// The test server's certificate is its own.
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}}
	answer, err := joined.post(plan.URL, reworded(pc.LocalDescription().SDP, plan, streams), report)
	if err != nil {
		return nil, err
	}
	for _, line := range strings.Split(answer, "\r\n") {
		if strings.HasPrefix(line, "a=candidate:") {
			report.Candidates = append(report.Candidates, line[len("a=candidate:"):])
		}
	}
	if plan.Via != "" {
		answer = redirected(answer, plan.Via)
	}
	return joined, pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer})
}

func (s *session) post(endpoint, offer string, report *Report) (string, error) {
	request, err := http.NewRequest(http.MethodPost, endpoint, strings.NewReader(offer))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/sdp")
	response, err := s.send(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("WHIP answered %s: %s\n%s", response.Status, body, offer)
	}
	report.IceServers = response.Header.Values("Link")
	base, err := url.Parse(endpoint)
	if err != nil {
		return "", err
	}
	resource, err := base.Parse(response.Header.Get("Location"))
	if err != nil {
		return "", err
	}
	s.resource = resource.String()
	return string(body), nil
}

func (s *session) leave() {
	request, err := http.NewRequest(http.MethodDelete, s.resource, nil)
	if err != nil {
		return
	}
	if response, err := s.send(request); err == nil {
		response.Body.Close()
	}
}

func (s *session) send(request *http.Request) (*http.Response, error) {
	if s.token != "" {
		request.Header.Set("Authorization", "Bearer "+s.token)
	}
	return s.client.Do(request)
}

// reworded returns the offer as the plan's publisher would have written it.
func reworded(offer string, plan Plan, streams []*stream) string {
	offer = strings.ReplaceAll(offer, "a=setup:actpass", "a=setup:"+plan.Setup)
	if plan.Via != "" {
		// Nor may the server find a way of its own.
		offer = withoutCandidates(offer)
	}
	head, sections := split(offer)
	for n, section := range sections {
		if plan.BundleOnly && n > 0 {
			sections[n] = bundleOnly(section)
		}
		if plan.Simulcast == "ssrc" && strings.HasPrefix(section, "m=video") {
			sections[n] = namedBySSRC(sections[n], streams)
		}
	}
	return head + strings.Join(sections, "")
}

// redirected returns an answer whose media port is reached by an address "host:port" of somebody between.
func redirected(answer, via string) string {
	host, port, _ := strings.Cut(via, ":")
	section := strings.Index(answer, "\r\nm=")
	end := section + 2 + strings.Index(answer[section+2:], "\r\n") + 2
	candidate := fmt.Sprintf("a=candidate:1 1 udp 2130706431 %s %s typ host\r\n", host, port)
	return answer[:end] + candidate + withoutCandidates(answer[end:])
}

func withoutCandidates(description string) string {
	var kept []string
	for _, line := range strings.Split(description, "\r\n") {
		if !strings.HasPrefix(line, "a=candidate:") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\r\n")
}

func split(offer string) (string, []string) {
	parts := strings.Split(offer, "\r\nm=")
	sections := make([]string, 0, len(parts)-1)
	for n, part := range parts[1:] {
		section := "m=" + part
		if n < len(parts)-2 {
			section += "\r\n"
		}
		sections = append(sections, section)
	}
	return parts[0] + "\r\n", sections
}

// bundleOnly gives a section port 0. Spec: RFC 9143 section 6.
func bundleOnly(section string) string {
	line, rest, _ := strings.Cut(section, "\r\n")
	words := strings.Fields(line)
	words[1] = "0"
	return strings.Join(words, " ") + "\r\na=bundle-only\r\n" + rest
}

// namedBySSRC replaces a section's SSRCs by those of all layers, grouped as SIM, as browsers did before RIDs.
func namedBySSRC(section string, streams []*stream) string {
	var kept, named, group []string
	for _, line := range strings.Split(strings.TrimSuffix(section, "\r\n"), "\r\n") {
		if !strings.HasPrefix(line, "a=ssrc") {
			kept = append(kept, line)
		}
	}
	for _, stream := range streams {
		if !stream.isVideo {
			continue
		}
		ssrc := fmt.Sprint(stream.sender.GetParameters().Encodings[0].SSRC)
		group = append(group, ssrc)
		named = append(named, fmt.Sprintf("a=ssrc:%s cname:stage", ssrc), fmt.Sprintf("a=ssrc:%s msid:stage picture", ssrc))
	}
	kept = append(kept, "a=ssrc-group:SIM "+strings.Join(group, " "))
	return strings.Join(append(kept, named...), "\r\n") + "\r\n"
}
