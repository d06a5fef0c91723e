package stack

import (
	"fmt"
	"os"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// user is somebody the API server knows by a token.
type user struct {
	name, group, token string
}

// writeTokens writes the file of the API server's --token-auth-file.
func writeTokens(file string, users ...user) error {
	var b strings.Builder
	for _, u := range users {
		fmt.Fprintf(&b, "%s,%s,%s,%q\n", u.token, u.name, u.name, u.group)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("write the API server's tokens: %w", err)
	}
	return nil
}

// writeKubeconfig writes a kubeconfig with one context, "lab".
func writeKubeconfig(file, server string, caPEM []byte, u user) error {
	config := clientcmdapi.NewConfig()
	config.Clusters["lab"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: caPEM}
	config.AuthInfos[u.name] = &clientcmdapi.AuthInfo{Token: u.token}
	config.Contexts["lab"] = &clientcmdapi.Context{Cluster: "lab", AuthInfo: u.name, Namespace: "default"}
	config.CurrentContext = "lab"
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		return fmt.Errorf("write kubeconfig of user %s: %w", u.name, err)
	}
	return nil
}
